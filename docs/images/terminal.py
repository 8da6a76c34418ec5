"""Draws a terminal session that was recorded, colours included, as an SVG for the documentation.

Usage: FORCE_COLOR=1 <commands> 2>&1 | python docs/images/terminal.py > docs/images/terminal.svg
"""

import io
import re
import sys

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PAPER = TerminalTheme(
    (27, 24, 31),
    (240, 235, 244),
    [
        (57, 51, 63),
        (224, 108, 117),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (227, 154, 198),
        (86, 182, 194),
        (200, 192, 208),
    ],
)


def main() -> None:
    text = Text.from_ansi(sys.stdin.read().rstrip())
    width = max(len(line) for line in text.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, no_wrap=True)
    svg = console.export_svg(title="tulle", theme=PAPER)
    # Whoever opens the picture needs nothing from elsewhere: the fonts are those of the reader.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    sys.stdout.write(svg.replace("Fira Code, monospace", "Menlo, Consolas, DejaVu Sans Mono, monospace"))


if __name__ == "__main__":
    main()
