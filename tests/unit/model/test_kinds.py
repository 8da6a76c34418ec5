import pytest

from tulle.model.kinds import KINDS, find_kind, kind_named


@pytest.mark.parametrize(
    ("text", "name"),
    [("svc", "Service"), ("Services", "Service"), ("httproute", "HTTPRoute"), ("ns", "Namespace"), ("App", "App")],
)
def test_finds_what_a_person_means(text: str, name: str) -> None:
    found = find_kind(text)
    assert found is not None and found.name == name


def test_names_are_unique() -> None:
    names = [name for kind in KINDS for name in {kind.name.lower(), kind.plural, *kind.short}]
    assert len(names) == len(set(names))


def test_only_the_exact_name_is_one_in_yaml() -> None:
    assert kind_named("service") is None
    assert find_kind("nothing") is None


def test_cluster_scoped_kinds() -> None:
    assert [kind.name for kind in KINDS if not kind.namespaced] == ["Namespace", "Mesh"]
