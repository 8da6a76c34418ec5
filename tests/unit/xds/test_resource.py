from tulle.xds import type_urls
from tulle.xds.resource import nothing, resource


def test_equal_arguments_give_equal_bytes_and_other_bodies_other_versions() -> None:
    assert resource("t", "n", b"body") == resource("t", "n", b"body")
    assert resource("t", "n", b"body").version != resource("t", "n", b"other").version


def test_nothing_has_no_body() -> None:
    assert nothing("t", "n", ("a",)).body == b""


def test_printing_a_resource_shows_no_bytes_of_it() -> None:
    secret = resource(type_urls.SECRET, "a", b"PRIVATE KEY")
    for text in (repr(secret), str(secret), f"{[secret]}"):
        assert "PRIVATE" not in text and secret.version in text
