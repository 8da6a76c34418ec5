"""Decides when a certificate is renewed, how long to wait after a failure, and when that is something to warn of.

Pure: the clock and the randomness are arguments. `jitter` is from -1 to 1 and spreads the nodes of a mesh, which often
start together, so that they do not renew together. Model: SPIRE's rotation at half of the lifetime.
"""

from datetime import datetime, timedelta

SPREAD = 0.1
FIRST_WAIT = timedelta(seconds=0.5)
LONGEST_WAIT = timedelta(seconds=150)
WARN_AT = (90, 75, 50)
"""Percent of a certificate's life, for one that is not renewed."""


def next_rotation(not_before: datetime, not_after: datetime, jitter: float) -> datetime:
    """When to renew: after half of the lifetime, give or take a tenth of it."""
    return not_before + (not_after - not_before) * (0.5 * (1 + SPREAD * jitter))


def is_late(not_before: datetime, not_after: datetime, now: datetime) -> bool:
    """Whether nobody would have chosen to renew as late as this."""
    return now > next_rotation(not_before, not_after, jitter=1)


def life_used(not_before: datetime, not_after: datetime, now: datetime) -> int:
    """Percent, from 0 to 100."""
    return min(max(int(100 * ((now - not_before) / (not_after - not_before))), 0), 100)


def warning_level(not_before: datetime, not_after: datetime, now: datetime) -> int:
    """The last of WARN_AT that was passed; 0 before the first."""
    used = life_used(not_before, not_after, now)
    return next((level for level in WARN_AT if used >= level), 0)


def backoff(failures: int, jitter: float) -> timedelta:
    """How long to wait after the `failures`-th failure in a row (from 1): 0.5 s, doubled each time, at most 150 s."""
    doublings = min(max(failures, 1) - 1, 16)
    return min(FIRST_WAIT * (1 << doublings) * (1 + SPREAD * jitter), LONGEST_WAIT)
