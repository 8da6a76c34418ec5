"""Decides when a proxy is started again, and when a proxy that does not answer counts as hung.

Pure: it is told what happened and when (seconds of a monotonic clock) and answers with a new value.
"""

from msgspec import Struct
from msgspec.structs import replace


class RestartLimits(Struct, frozen=True):
    """Seconds. A proxy that was healthy for `healthy_after` starts over with the first delay."""

    first_delay: float = 1
    longest_delay: float = 30
    healthy_after: float = 60


class RestartPolicy(Struct, frozen=True):
    """How often a proxy ended, and how soon it is started again."""

    limits: RestartLimits = RestartLimits()
    restarts: int = 0
    quick_ends: int = 0

    def ended(self, healthy_for: float) -> "RestartPolicy":
        """After an end. `healthy_for`: how long the proxy had been answering without a break."""
        quick = 1 if healthy_for >= self.limits.healthy_after else self.quick_ends + 1
        return replace(self, restarts=self.restarts + 1, quick_ends=quick)

    @property
    def delay(self) -> float:
        """Seconds from the last end to the next start."""
        if self.quick_ends == 0:
            return 0
        # The exponent is bounded only to keep the number small.
        return min(self.limits.first_delay * 2.0 ** min(self.quick_ends - 1, 30), self.limits.longest_delay)


class HangLimits(Struct, frozen=True):
    """`failures` probes in a row say that a proxy hangs, but none does before it had `grace` seconds to start."""

    failures: int = 3
    grace: float = 30


class Responsiveness(Struct, frozen=True):
    """What the probes of one run of a proxy said. One lost answer on a busy machine proves nothing."""

    started: float
    limits: HangLimits = HangLimits()
    failures: int = 0
    answering_since: float | None = None

    def answered(self, now: float) -> "Responsiveness":
        since = now if self.answering_since is None else self.answering_since
        return replace(self, failures=0, answering_since=since)

    def failed(self) -> "Responsiveness":
        return replace(self, failures=self.failures + 1, answering_since=None)

    def hung(self, now: float) -> bool:
        return self.failures >= self.limits.failures and now - self.started >= self.limits.grace

    def healthy_for(self, now: float) -> float:
        return 0 if self.answering_since is None else now - self.answering_since
