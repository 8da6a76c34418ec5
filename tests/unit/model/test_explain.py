import pytest

from tulle.model.explain import describe, explain, suggest
from tulle.model.tree import Tree


def explained(spec: Tree, texts: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    value = {"apiVersion": "tulle.dev/v1alpha1", "kind": "App", "metadata": {"name": "a"}, "spec": spec}
    return [(p.path.removeprefix("spec."), p.message, p.hint) for p in explain("App", value, texts or {})]


QUOTE = 'write it in quotes: "1.10"'


@pytest.mark.parametrize(
    ("spec", "path", "message", "hint"),
    [
        ({"comand": []}, "comand", "unknown field `comand`", "did you mean `command`?"),
        ({"command": "a"}, "command", 'must be a list, not "a"', "write it as the entry of a list: put '- ' before it"),
        ({"args": [1.1]}, "args[0]", "must be text, not the number 1.10", QUOTE),
        ({"replicas": True}, "replicas", "must be a whole number from 0, not true", ""),
        ({"env": [{}]}, "env[0].name", "`name` is missing", ""),
        ({"env": {}}, "env", "must be a list, not a mapping of fields", "write it as the entry of a list"),
        ({"restartPolicy": "always"}, "restartPolicy", "must be one of Always, Never, OnFailure", "`Always`"),
        ({"ports": [{"port": 0}]}, "ports[0].port", "must be a port from 1 to 65535; 0 is not", ""),
        ({"ports": [{"port": 1, "name": "HTTP"}]}, "ports[0].name", "must be a port's name", "write http"),
        ({"labels": {"a b": "c"}}, 'labels["a b"]', "must be a label's key", ""),
        ({"readinessProbe": {"tcpSocket": {"port": []}}}, "readinessProbe.tcpSocket.port", "whole number or text", ""),
        ({"readinessProbe": {"tcpSocket": {"port": 0}}}, "readinessProbe.tcpSocket.port", "from 1 to 65535", ""),
        ({"livenessProbe": {"exec": {"command": []}}}, "livenessProbe.exec.command", "at least 1 must be there", ""),
    ],
)
def test_explains(spec: Tree, path: str, message: str, hint: str) -> None:
    ((found_path, found_message, found_hint),) = explained(spec, {"spec.args[0]": "1.10"})
    assert found_path == path
    assert message in found_message
    assert hint in found_hint


def test_every_mistake_once() -> None:
    spec = {"a": 1, "b": 2, "command": 5, "ports": [{}, {}]}
    assert [path for path, _, _ in explained(spec)] == ["a", "b", "command", "ports[0].port", "ports[1].port"]


def test_a_word_that_is_like_none_gets_all() -> None:
    assert suggest("zzz", ["one", "two"]) == "known here: one, two"


def test_long_values_are_shortened() -> None:
    assert describe("a" * 100) == f'"{"a" * 60}…"'
