import pytest

from tulle.model.references import BackendObjectReference, ParentReference
from tulle.model.rules.references import backend_problems, parent_problems


@pytest.mark.parametrize(
    "parents",
    [
        (ParentReference("a"), ParentReference("b")),
        (ParentReference("a"), ParentReference("a", kind="Service", group="")),
        (ParentReference("a"), ParentReference("a", namespace="b")),
        (ParentReference("a", port=1), ParentReference("a", port=2)),
        (ParentReference("a", section_name="b", port=1), ParentReference("a", section_name="c", port=1)),
    ],
)
def test_parents_that_differ(parents: tuple[ParentReference, ...]) -> None:
    assert list(parent_problems(parents)) == []


@pytest.mark.parametrize(
    "parents",
    [
        (ParentReference("a"), ParentReference("a")),
        (ParentReference("a"), ParentReference("a", port=1)),
        (ParentReference("a", section_name="b"), ParentReference("a", port=1)),
        (ParentReference("a", port=1), ParentReference("a", port=1)),
    ],
)
def test_parents_that_do_not(parents: tuple[ParentReference, ...]) -> None:
    assert [problem.path for problem in parent_problems(parents)] == ["spec.parentRefs[1]"]


def test_only_services_need_a_port() -> None:
    assert [problem.path for problem in backend_problems(BackendObjectReference("a"), "x")] == ["x.port"]
    assert list(backend_problems(BackendObjectReference("a", group="b.c", kind="D"), "x")) == []
