"""Time and chance, as the agent gives them to what decides by them."""

import random
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def jitter() -> float:
    """A number from -1 to 1, to spread what many nodes do."""
    return random.uniform(-1, 1)
