"""Changes the path or host that a backend gets to see, or that a redirect points to.

Source: Gateway API, HTTPPathModifier, whose table says what each pair of prefix and replacement gives.
"""

import re

from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from msgspec import Struct

from tulle.view.types import PathMatch, PathRewrite
from tulle.xds.features.match import elements


class NewPath(Struct, frozen=True):
    """How Envoy is to make the new path: put `prefix` in place of what the route matched, or `regex`; neither leaves
    the path as it is."""

    prefix: str = ""
    regex: RegexMatchAndSubstitute | None = None


def new_path(rewrite: PathRewrite, matched: PathMatch) -> NewPath:
    """A prefix can be replaced only where one was matched; elsewhere the path stays."""
    if rewrite.kind == "full":
        return NewPath(regex=_substitute(".*", rewrite.value or "/"))
    if matched.kind != "prefix":
        return NewPath()
    old, new = elements(matched.value), elements(rewrite.value)
    if old and new:
        return NewPath(prefix=new)
    if old:
        # Nothing in place of /a: /a/b becomes /b, and /a becomes /, not an empty path.
        return NewPath(regex=_substitute(f"{re.escape(old)}/*", "/"))
    return NewPath(prefix=f"{new}/") if new else NewPath()


def _substitute(pattern: str, replacement: str) -> RegexMatchAndSubstitute:
    """Replaces what matches at the start; the replacement is literal."""
    return RegexMatchAndSubstitute(
        pattern=RegexMatcher(regex=f"^{pattern}"), substitution=replacement.replace("\\", "\\\\")
    )
