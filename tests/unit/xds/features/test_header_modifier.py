"""Header edits are literal, and two in a row can be made one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.view.types import HeaderEdit
from tulle.xds.features.header_modifier import combined, headers_to_add, headers_to_remove


@st.composite
def edits(draw: st.DrawFn) -> HeaderEdit:
    """Of one filter, as Gateway API allows it: each name at most once."""
    kinds = {name: draw(st.sampled_from(["set", "add", "remove", ""])) for name in ("a", "B", "c")}
    value = draw(st.sampled_from("123"))

    def of(kind: str) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for name, wanted in kinds.items() if wanted == kind)

    return HeaderEdit(set=of("set"), add=of("add"), remove=tuple(name for name, _ in of("remove")))


def applied(edit: HeaderEdit, headers: dict[str, list[str]]) -> dict[str, list[str]]:
    """What Envoy does: remove, then set and add in the order given."""
    result = {name: values for name, values in headers.items() if name not in {r.lower() for r in edit.remove}}
    for name, value in edit.set:
        result[name.lower()] = [value]
    for name, value in edit.add:
        result[name.lower()] = [*result.get(name.lower(), []), value]
    return result


@given(edits(), edits())
def test_combined_is_one_after_the_other(first: HeaderEdit, second: HeaderEdit) -> None:
    headers = {"a": ["0"], "b": ["0"], "d": ["0"]}
    assert applied(combined(first, second), headers) == applied(second, applied(first, headers))


def test_values_are_not_expanded() -> None:
    (option,) = headers_to_add(HeaderEdit(set=(("x", "100% %REQ(y)%"),)))
    assert option.header.value == "100%% %%REQ(y)%%"


@pytest.mark.parametrize("name", ["Host", ":path", "Content-Length", "transfer-encoding", "Connection"])
def test_what_frames_a_message_is_not_edited(name: str) -> None:
    assert headers_to_add(HeaderEdit(set=((name, "1"),), add=((name, "1"),))) == []
    assert headers_to_remove(HeaderEdit(remove=(name, "x"))) == ["x"]
