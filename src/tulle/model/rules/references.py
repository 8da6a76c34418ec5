"""Rules for parentRefs and backendRefs."""

from collections.abc import Iterator, Sequence

from tulle.model.problem import Problem
from tulle.model.references import BackendObjectReference, ParentReference
from tulle.model.tree import below


def parent_problems(parents: Sequence[ParentReference], at: str = "spec.parentRefs") -> Iterator[Problem]:
    """Two references to one parent must name different parts of it, and both in the same way."""
    seen: dict[tuple[str, str, str, str], list[ParentReference]] = {}
    for index, parent in enumerate(parents):
        others = seen.setdefault((parent.group, parent.kind, parent.namespace, parent.name), [])
        for other in others:
            if (other.section_name, other.port) == (parent.section_name, parent.port):
                yield Problem(below(at, index), f"refers to {parent.kind} {parent.name} once more", "keep one")
                break
            if _parts_named(other) != _parts_named(parent):
                message = f"refers to {parent.kind} {parent.name} as another entry does, but by other fields"
                yield Problem(below(at, index), message, "give both a sectionName, or both a port")
                break
        others.append(parent)


def _parts_named(parent: ParentReference) -> tuple[bool, bool]:
    return bool(parent.section_name), parent.port is not None


def backend_problems(backend: BackendObjectReference, at: str) -> Iterator[Problem]:
    if not backend.group and backend.kind == "Service" and backend.port is None:
        yield Problem(below(at, "port"), "`port` is missing, which a Service needs", "name the service's port")
