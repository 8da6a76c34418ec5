"""Where namespaces are, and which are left. (What they do is in tests/e2e/test_capture.py.)"""

from pathlib import Path

import pytest

from tulle.agent.capture.namespace import Namespaces, in_thread
from tulle.model.names import WorkloadName


def test_one_path_per_incarnation(tmp_path: Path) -> None:
    namespaces = Namespaces(tmp_path)
    assert namespaces.path(WorkloadName("shop", "catalog-1")) == tmp_path / "ns" / "shop~catalog-1"
    assert namespaces.node_path == tmp_path / "ns" / "node"


def test_files_without_a_namespace_are_leftovers(tmp_path: Path) -> None:
    namespaces = Namespaces(tmp_path)
    assert namespaces.list() == ()
    (tmp_path / "ns").mkdir()
    for name in ("shop~b", "shop~a", "node"):
        (tmp_path / "ns" / name).touch()
    left = (WorkloadName("shop", "a"), WorkloadName("shop", "b"))
    assert namespaces.list() == left
    assert not namespaces.alive(left[0])
    assert namespaces.sweep(keep=left[:1]) == left[1:]
    namespaces.sweep()
    assert [entry.name for entry in (tmp_path / "ns").iterdir()] == ["node"]
    namespaces.remove_node()
    assert not (tmp_path / "ns").exists()


def test_a_thread_hands_on_its_result_and_its_failure() -> None:
    assert in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)
