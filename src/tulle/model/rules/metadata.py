"""Rules for names, namespaces and labels."""

import re
from collections.abc import Iterator, Mapping

from tulle.model.app import App
from tulle.model.kinds import Resource
from tulle.model.mesh import MESH_NAME, Mesh
from tulle.model.mode import MODE_LABEL
from tulle.model.namespace import Namespace
from tulle.model.problem import Problem
from tulle.model.resource import NamespacedBase
from tulle.model.service import Service
from tulle.model.workload import Workload

MAX_APP_NAME = 50
"""Its workloads are named after it and have to be DNS labels too."""

MAX_ANNOTATIONS = 256 * 1024

_DNS_1035 = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_MODES = ("sidecar", "node")


def metadata_problems(resource: Resource) -> Iterator[Problem]:
    yield from _name_problems(resource)
    metadata = resource.metadata
    if metadata.namespace and not isinstance(resource, NamespacedBase):
        yield Problem("metadata.namespace", f"a {resource.kind} is in no namespace", "remove it")
    if sum(len(key) + len(value) for key, value in metadata.annotations.items()) > MAX_ANNOTATIONS:
        yield Problem("metadata.annotations", f"are longer than {MAX_ANNOTATIONS} characters in all")
    yield from mode_problems(metadata.labels, "metadata.labels")


def mode_problems(labels: Mapping[str, str], at: str) -> Iterator[Problem]:
    if labels.get(MODE_LABEL, _MODES[0]) not in _MODES:
        message = f"there is no mode `{labels[MODE_LABEL]}`"
        yield Problem(f'{at}["{MODE_LABEL}"]', message, f"write {' or '.join(_MODES)}")


def _name_problems(resource: Resource) -> Iterator[Problem]:
    name = resource.metadata.name
    match resource:
        case Service() if len(name) > 63 or not _DNS_1035.fullmatch(name):
            what = "at most 63 lower-case letters, digits and '-', with a letter first"
            yield Problem("metadata.name", f"a service's name must be {what}; `{name}` is not")
        case App() if len(name) > MAX_APP_NAME or "." in name:
            what = f"at most {MAX_APP_NAME} lower-case letters, digits and '-'"
            yield Problem("metadata.name", f"an app's name must be {what}; `{name}` is not")
        case Namespace() | Workload() if len(name) > 63 or "." in name:
            what = "at most 63 lower-case letters, digits and '-'"
            yield Problem("metadata.name", f"the name of a {resource.kind} must be {what}; `{name}` is not")
        case Mesh() if name != MESH_NAME:
            yield Problem("metadata.name", f"there is one Mesh, named {MESH_NAME}", f"write {MESH_NAME}")
