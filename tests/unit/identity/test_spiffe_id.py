import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.identity.errors import InvalidSpiffeId
from tulle.identity.spiffe_id import ControlPlaneIdentity, NodeIdentity, checked, parse
from tulle.model.names import SpiffeId

SEGMENT = st.from_regex(r"\A[A-Za-z0-9._-]{1,40}\Z").filter(lambda text: text not in (".", ".."))
TRUST_DOMAIN = st.from_regex(r"\A[a-z0-9._-]{1,40}\Z")
IDENTITY = st.one_of(
    st.builds(SpiffeId, TRUST_DOMAIN, SEGMENT, SEGMENT),
    st.builds(NodeIdentity, TRUST_DOMAIN, SEGMENT),
    st.builds(ControlPlaneIdentity, TRUST_DOMAIN),
)


@given(IDENTITY)
def test_every_identity_is_read_as_it_was_written(identity):
    assert parse(str(identity)) == identity == checked(identity)


@given(IDENTITY, st.integers(0, 200), st.characters())
def test_a_changed_text_is_refused_or_another_identity(identity, position, character):
    text = str(identity)
    changed = text[:position] + character + text[position:]
    try:
        other = parse(changed)
    except InvalidSpiffeId:
        return
    assert other != identity and str(other) == changed


@given(st.text(), st.text(), st.text())
def test_names_never_make_another_identity(trust_domain, first, second):
    for identity in (
        SpiffeId(trust_domain, first, second),
        NodeIdentity(trust_domain, first),
        ControlPlaneIdentity(trust_domain),
    ):
        try:
            assert parse(str(checked(identity))) == identity
        except InvalidSpiffeId:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://mesh.local",
        "spiffe://mesh.local/",
        "SPIFFE://mesh.local/ns/a/sa/b",
        "https://mesh.local/ns/a/sa/b",
        "spiffe:/mesh.local/ns/a/sa/b",
        "spiffe:///ns/a/sa/b",
        "spiffe://Mesh.local/ns/a/sa/b",
        "spiffe://mesh.local:443/ns/a/sa/b",
        "spiffe://user@mesh.local/ns/a/sa/b",
        "spiffe://mesh.local/ns/a/sa/b/",
        "spiffe://mesh.local/ns/a/sa/b/c",
        "spiffe://mesh.local/ns//sa/b",
        "spiffe://mesh.local/ns/a/sa/",
        "spiffe://mesh.local/ns/../sa/b",
        "spiffe://mesh.local/ns/./sa/b",
        "spiffe://mesh.local/ns/a/sa/b?x",
        "spiffe://mesh.local/ns/a/sa/b#x",
        "spiffe://mesh.local/ns/a%2fb/sa/b",
        "spiffe://mesh.local/ns/a/sa/b\n",
        "spiffe://mesh.local/ns/a/sa/b\x00",
        " spiffe://mesh.local/ns/a/sa/b",
        "spiffe://mesh.local/ns/ä/sa/b",
        "spiffe://mesh.local/ns/a/sa/\uff10",
        "spiffe://mesh.local/tulle/node",
        "spiffe://mesh.local/tulle/other/n",
        "spiffe://" + "a" * 256 + "/ns/a/sa/b",
        "spiffe://mesh.local/ns/a/sa/" + "b" * 2048,
    ],
)
def test_what_is_no_identity_of_ours_is_refused(text: str):
    with pytest.raises(InvalidSpiffeId):
        parse(text)
