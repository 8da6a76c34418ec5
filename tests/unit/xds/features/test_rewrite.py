"""Paths are rewritten as Gateway API's table says."""

import re

import pytest

from tulle.view.types import PathMatch, PathRewrite
from tulle.xds.features.rewrite import NewPath, new_path


def rewritten(path: str, matched: PathMatch, change: NewPath) -> str:
    """What Envoy makes of a path that the route took."""
    if change.regex is not None:
        return re.sub(change.regex.pattern.regex, change.regex.substitution, path, count=1)
    if change.prefix:
        prefix = matched.value.rstrip("/") or "/"
        return change.prefix + path.removeprefix(prefix)
    return path


@pytest.mark.parametrize(
    ("path", "prefix", "replacement", "expected"),
    [
        # Gateway API, HTTPPathModifier.replacePrefixMatch.
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        # Beyond it.
        ("/a.b/c", "/a.b", "/", "/c"),
        ("/bar", "/", "/xyz", "/xyz/bar"),
        ("/bar", "/", "/", "/bar"),
        ("/", "/", "/xyz", "/xyz/"),
    ],
)
def test_a_prefix_is_replaced(path: str, prefix: str, replacement: str, expected: str) -> None:
    matched = PathMatch("prefix", prefix)
    assert rewritten(path, matched, new_path(PathRewrite("prefix", replacement), matched)) == expected


@pytest.mark.parametrize("value", ["/new", "/a\\1b", ""])
def test_the_whole_path_is_replaced(value: str) -> None:
    matched = PathMatch("exact", "/old")
    assert rewritten("/old", matched, new_path(PathRewrite("full", value), matched)) == (value or "/")


def test_without_a_prefix_match_the_path_stays() -> None:
    assert new_path(PathRewrite("prefix", "/x"), PathMatch("exact", "/old")) == NewPath()
