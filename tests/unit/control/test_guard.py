import pytest
from tests.fakes import mesh

from tulle.control.guard import refusal
from tulle.model.snapshot import Snapshot, build


def of(services: int = 0, workloads: int = 0) -> Snapshot:
    return build(
        [*(mesh.service(f"s{n}") for n in range(services)), *(mesh.workload(f"w{n}") for n in range(workloads))]
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (of(), of()),
        (of(), of(50, 50)),
        (of(10, 10), of()),
        (of(20), of(10)),
        (of(20), of(30)),
        (of(0, 20), of(0, 10)),
        (of(12, 0), of(12, 50)),
    ],
)
def test_what_may_be_meant_passes(before: Snapshot, after: Snapshot):
    assert refusal(before, after) is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (of(20), of(9), "9 services, 20 were known"),
        (of(11), of(), "0 services, 11 were known"),
        (of(0, 20), of(0, 0), "0 workloads, 20 were known"),
        (of(20, 20), of(20, 3), "3 workloads, 20 were known"),
    ],
)
def test_what_takes_too_much_away_is_refused(before: Snapshot, after: Snapshot, words: str):
    problem = refusal(before, after)
    assert problem is not None and words in problem.message and problem.hint
