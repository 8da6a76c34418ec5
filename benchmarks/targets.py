"""What Tulle is to reach, and whether it did."""

from msgspec import Struct


class Target(Struct, frozen=True):
    """`measured` is to be at most `limit`."""

    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    @property
    def verdict(self) -> str:
        return "met" if self.met else "missed"


def text(value: float, unit: str = "") -> str:
    """Three significant digits, as few of them behind the point as that needs."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"
