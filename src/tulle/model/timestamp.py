"""Writes moments as the API and people read them."""

from datetime import datetime


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
