"""How much of the past a store keeps: enough to explain and undo, bounded so that it cannot fill a disk."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """`versions`: how many of each existing object stay in its history. `events`: how many changes a watch can go
    back, at least; a deleted object's history goes when its deletion is older than that."""

    versions: int = 20
    events: int = 10_000
