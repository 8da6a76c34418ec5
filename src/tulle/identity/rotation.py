"""Decides when a certificate is renewed and how long to wait after a failure.

Pure: the clock and the randomness are arguments. `jitter` is from -1 to 1 and spreads the nodes of a mesh, which often
start together, so that they do not renew together. Model: SPIRE's rotation at half of the lifetime.
"""

from datetime import datetime, timedelta

SPREAD = 0.1
FIRST_WAIT = timedelta(seconds=0.5)
LONGEST_WAIT = timedelta(seconds=150)


def next_rotation(not_before: datetime, not_after: datetime, jitter: float) -> datetime:
    """When to renew: after half of the lifetime, give or take a tenth of it."""
    return not_before + (not_after - not_before) * (0.5 * (1 + SPREAD * jitter))


def backoff(failures: int, jitter: float) -> timedelta:
    """How long to wait after the `failures`-th failure in a row (from 1): 0.5 s, doubled each time, at most 150 s."""
    doublings = min(max(failures, 1) - 1, 16)
    return min(FIRST_WAIT * (1 << doublings) * (1 + SPREAD * jitter), LONGEST_WAIT)
