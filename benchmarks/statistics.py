"""Turns raw figures of blocks into what is reported: medians, percentiles, ratios and how sure they are.

Blocks of one round ran within seconds of each other, so a ratio is taken within a round and the median over rounds:
what else the machine did then has met both.
"""

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

_RESAMPLINGS = 2_000


class Estimate(Struct, frozen=True):
    """A median with the 95 % interval of a percentile bootstrap (Efron, 1979)."""

    value: float
    low: float
    high: float


def median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)


def percentile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between closest ranks; `share` is 0 to 1. Raises ValueError for no values."""
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def estimate(values: Sequence[float], seed: int = 1) -> Estimate:
    rng = random.Random(seed)
    medians = [median(rng.choices(values, k=len(values))) for _ in range(_RESAMPLINGS)]
    return Estimate(median(values), percentile(medians, 0.025), percentile(medians, 0.975))


def ratios(by_round: Mapping[int, float], base_by_round: Mapping[int, float]) -> list[float]:
    """Each round's figure over the base's of the same round."""
    return [by_round[r] / base_by_round[r] for r in sorted(by_round) if base_by_round.get(r)]
