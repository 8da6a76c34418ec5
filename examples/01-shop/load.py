"""Visits the shop a few times a second. Says nothing but what fails, and a summary when it is told to end."""

import json
import os
import signal
import sys
import time
import urllib.request
from collections import Counter
from http.client import HTTPException

from serving import block_termination

TARGET = os.environ.get("TARGET", "http://web:8080/api/items")
RATE = float(os.environ.get("RATE", "5"))
TIMEOUT = 10


def visit(seen: Counter[str]) -> None:
    """Counts the catalog version that answered, each part of the page that was missing, or the failure."""
    try:
        with urllib.request.urlopen(TARGET, timeout=TIMEOUT) as reply:
            shop = json.load(reply)
    except (OSError, ValueError, HTTPException) as error:
        seen["failed"] += 1
        print(f"{TARGET}: {error}", file=sys.stderr, flush=True)
        return
    seen[f"catalog {shop['version']}"] += 1
    for name, why in shop["errors"].items():
        seen[f"without {name}"] += 1
        print(f"{TARGET}: without {name}: {why}", file=sys.stderr, flush=True)


def main() -> None:
    signals = block_termination()
    seen: Counter[str] = Counter()
    due = time.monotonic()
    while True:
        visit(seen)
        due = max(due + 1 / RATE, time.monotonic())
        if signal.sigtimedwait(signals, max(0.0, due - time.monotonic())):
            break
    print(", ".join(f"{what}: {count}" for what, count in sorted(seen.items())), flush=True)


if __name__ == "__main__":
    main()
