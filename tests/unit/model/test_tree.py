from tulle.model.tree import below, path_of


def test_paths_read_like_code() -> None:
    assert path_of(["spec", "ports", 0, "name"]) == "spec.ports[0].name"
    assert path_of(["metadata", "labels", "a.b/c"]) == 'metadata.labels["a.b/c"]'
    assert path_of([]) == ""
    assert below("", "spec") == "spec"
    assert below("items", 3) == "items[3]"
