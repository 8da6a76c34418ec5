import msgspec
import pytest

from tulle.identity.messages import AttestRequest, IssueRequest, ReportRequest, decode, encode
from tulle.identity.secret import Secret
from tulle.model.metadata import Metadata
from tulle.model.workload import Workload, WorkloadSpec


@pytest.mark.parametrize(
    "message",
    [
        AttestRequest(Secret(b"tulle1.a.b.c"), "n1", "csr"),
        IssueRequest("shop", "cart-1", "csr"),
        ReportRequest("n1", (Workload(metadata=Metadata("cart-1", "shop"), spec=WorkloadSpec("10.0.0.1", 15100)),)),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: msgspec.Struct):
    assert decode(encode(message), type(message)) == message


def test_the_token_travels_but_does_not_show():
    request = AttestRequest(Secret(b"tulle1.a.b.c"), "n1", "csr")
    assert b'"token":"tulle1.a.b.c"' in encode(request)
    assert "tulle1" not in repr(request)


_ODD = (b'{"token":"\xff","node":"n","csr_pem":""}', b'{"x":' + b"[" * 10_000)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token":1,"node":"n","csr_pem":""}', b"[]", *_ODD])
def test_what_is_no_message_is_refused(body: bytes):
    with pytest.raises(msgspec.MsgspecError):
        decode(body, AttestRequest)
