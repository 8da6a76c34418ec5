"""The documentation's own small language is read as its readers read it."""

import pytest
from tests.unit.docs.pages import Step, fits, steps, tulle_commands


def test_a_session_is_commands_with_what_they_print() -> None:
    session = "$ one\nout\n\nmore\n$ two <<EOF\n> inside\n> EOF\n$ three\n"
    assert steps(session) == (
        Step("one", "out\n\nmore\n"),
        Step("two <<EOF\ninside\nEOF", ""),
        Step("three", ""),
    )


@pytest.mark.parametrize(
    ("shell", "commands"),
    [
        ("tulle get services -n shop | head -1", [("get", "services", "-n", "shop")]),
        ("make | tulle apply -f -", [("apply", "-f", "-")]),
        ("tulle token create --node a > token && chmod 600 token", [("token", "create", "--node", "a")]),
        ("sudo TULLE_RUN_DIR=/run/x tulle status &", [("status",)]),
        ("tulle exec -n shop web -- sh -c 'a; b | c'", [("exec", "-n", "shop", "web", "--", "sh", "-c", "a; b | c")]),
        ("echo tulle", []),
    ],
)
def test_tulle_is_found_in_lines_of_shell(shell: str, commands: list[tuple[str, ...]]) -> None:
    assert list(tulle_commands(shell)) == commands


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("NAME   STATE\nweb-...   Ready\n", "NAME         STATE\nweb-5c70fa   Ready\n", True),
        ("first\n...\nlast\n", "first\nlast\n", True),
        ("first\n...\nlast\n", "first\na\nb\nlast\n", True),
        ("...\nlast\n", "other\n", False),
        ("a.c\n", "abc\n", False),
        ("one\n", "one\ntwo\n", False),
    ],
)
def test_what_is_printed_is_compared_but_for_ellipses_and_widths(expected: str, printed: str, same: bool) -> None:
    assert fits(expected, printed) is same
