"""Refuses a snapshot that would take too much away at once.

A store that was read while it was half loaded, restored from the wrong backup or emptied by accident looks like a
wish to delete everything. What users delete one write at a time is not guarded: that is a wish.
"""

from tulle.model.problem import Problem
from tulle.model.snapshot import Snapshot

MAX_SHARE = 0.5
"""How much of the services or workloads may vanish between two readings of the whole store."""

SMALL = 10
"""Up to this many, anything may vanish."""


def refusal(old: Snapshot, new: Snapshot) -> Problem | None:
    """Why `new`, read as a whole, must not replace `old`; None where it may."""
    for what, before, after in (
        ("services", len(old.services), len(new.services)),
        ("workloads", len(old.workloads), len(new.workloads)),
    ):
        if before > SMALL and before - after > before * MAX_SHARE:
            return Problem(
                "",
                f"the store holds {after} {what}, {before} were known; the last good configuration goes on serving",
                "check the store; restart the control plane to accept what it holds",
            )
    return None
