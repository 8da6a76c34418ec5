"""Texts and numbers with a syntax: what one field accepts, said once for the decoder, the JSON Schema and the message.

Each description completes the sentence "must be …". The expressions are free of ambiguity, so that matching is linear
in the length of what a user wrote. Sources: RFC 1035, RFC 1123, RFC 9110, Kubernetes' API conventions, Gateway API 1.6.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

_LABEL = r"[a-z0-9]+(?:-+[a-z0-9]+)*"
_SUBDOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_QUALIFIED = r"[A-Za-z0-9]+(?:[-_.]+[A-Za-z0-9]+)*"


def _whole(expression: str) -> str:
    """The expression for the whole text. Python's `$` alone would let a trailing newline through."""
    return rf"^(?:{expression})$(?!\n)"


DnsLabel: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=_whole(_LABEL),
        description="a DNS label: at most 63 lower-case letters, digits and '-', with a letter or digit at both ends",
    ),
]
DnsSubdomain: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=_whole(_SUBDOMAIN),
        description="a DNS name: lower-case letters, digits, '-' and '.', at most 253",
    ),
]
Hostname: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=_whole(rf"(?:\*\.)?{_SUBDOMAIN}"),
        description="a host name in lower case, without a port; '*.' may replace its first label",
    ),
]
ApiGroup: TypeAlias = Annotated[
    str,
    Meta(
        max_length=253,
        pattern=_whole(rf"(?:{_SUBDOMAIN})?"),
        description='an API group such as gateway.networking.k8s.io, or "" for Kubernetes\' core',
    ),
]
KindName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=_whole(r"[a-zA-Z](?:-*[a-zA-Z0-9])*"),
        description="the name of a kind, such as Service",
    ),
]
ObjectName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=253, description="the name of an object, at most 253 characters")
]
PortName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=_whole(_LABEL),
        description="a port's name: at most 63 lower-case letters, digits and '-', with a letter or digit at both ends",
    ),
]
LabelKey: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=317,
        pattern=_whole(rf"(?:{_SUBDOMAIN}/)?(?=[^/]{{1,63}}$){_QUALIFIED}"),
        description="a label's key: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, "
        "optionally after a DNS name and '/'",
    ),
]
LabelValue: TypeAlias = Annotated[
    str,
    Meta(
        max_length=63,
        pattern=_whole(rf"(?:{_QUALIFIED})?"),
        description="a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends",
    ),
]
AppProtocol: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=317,
        pattern=_whole(rf"(?:{_SUBDOMAIN}/)?(?=[^/]{{1,63}}$){_QUALIFIED}"),
        description="a protocol such as http, http2, grpc, tcp or kubernetes.io/h2c",
    ),
]
EnvName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        pattern=_whole(r"[A-Za-z_][A-Za-z0-9_.-]*"),
        description="the name of an environment variable: letters, digits, '_', '.' and '-', no digit first",
    ),
]
UserName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=_whole(r"[A-Za-z0-9_][A-Za-z0-9_.-]*"),
        description="the name or number of a user of the host",
    ),
]
HeaderName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=_whole(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+"),
        description="the name of a header: letters, digits and !#$%&'*+-.^_`|~",
    ),
]
HeaderValue: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        pattern=_whole(r"[!-~]+(?:[\t ][!-~]+)*"),
        description="a header's value: visible ASCII characters with single spaces or tabs between them",
    ),
]
CookieName: TypeAlias = HeaderName
Origin: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=_whole(r"\*|https?://(?:(?:\*\.)?[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*|\*)(?::[0-9]{1,5})?"),
        description="an origin such as https://example.com, https://*.example.com or '*'",
    ),
]
UrlPath: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        pattern=_whole(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+"),
        description="a path of characters that RFC 3986 allows, at most 1024",
    ),
]
TrustDomain: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_whole(r"[a-z0-9._-]+"),
        description="a SPIFFE trust domain: lower-case letters, digits, '.', '-' and '_', at most 255",
    ),
]
IpAddress: TypeAlias = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=45,
        pattern=_whole(r"[0-9.]+|[0-9a-fA-F:.]+"),
        description="an IPv4 or IPv6 address",
    ),
]
PortNumber: TypeAlias = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
Weight: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000, description="a weight from 0 to 1000000")]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1, description="a whole number from 1")]
CountOrZero: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1, description="a whole number from 0")]
