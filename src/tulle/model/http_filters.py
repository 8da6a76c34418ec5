"""What a route does to requests and responses on their way. Source: Gateway API 1.6, standard and experimental."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from tulle.model.part import Part
from tulle.model.references import BackendObjectReference, LocalObjectReference
from tulle.model.syntax import Count, CountOrZero, DnsSubdomain, HeaderName, HeaderValue, Origin, PortNumber, UrlPath

Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
Percent: TypeAlias = Annotated[int, Meta(ge=0, le=100, description="a percentage from 0 to 100")]


NOT_TO_EDIT = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers, in lower case, that frame messages and connections or say whom a request is for: an edit would let one
request be read as two, or pass where another one was decided on."""


class HTTPHeader(Part, frozen=True):
    name: HeaderName
    value: HeaderValue


class HTTPHeaderFilter(Part, frozen=True):
    """`set` replaces, `add` appends, `remove` drops."""

    set: Annotated[tuple[HTTPHeader, ...], Meta(max_length=16)] = ()
    add: Annotated[tuple[HTTPHeader, ...], Meta(max_length=16)] = ()
    remove: Annotated[tuple[HeaderName, ...], Meta(max_length=16)] = ()


class Fraction(Part, frozen=True):
    numerator: CountOrZero
    denominator: Count = 100


class HTTPRequestMirrorFilter(Part, frozen=True):
    """Sends copies elsewhere: all of them, or what `percent` or `fraction` says."""

    backend_ref: BackendObjectReference
    percent: Percent | None = None
    fraction: Fraction | None = None


class HTTPPathModifier(Part, frozen=True):
    """The new path, or what stands in place of the prefix that the route matched."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: Annotated[str, Meta(max_length=1024)] | None = None
    replace_prefix_match: Annotated[str, Meta(max_length=1024)] | None = None


class HTTPRequestRedirectFilter(Part, frozen=True):
    """What is absent stays as the request has it."""

    scheme: Literal["http", "https"] | None = None
    hostname: DnsSubdomain = ""
    path: HTTPPathModifier | None = None
    port: PortNumber | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class HTTPURLRewriteFilter(Part, frozen=True):
    hostname: DnsSubdomain = ""
    path: HTTPPathModifier | None = None


class HTTPCORSFilter(Part, frozen=True):
    allow_origins: Annotated[tuple[Origin, ...], Meta(max_length=64)] = ()
    allow_credentials: bool = False
    allow_methods: Annotated[tuple[Method | Literal["*"], ...], Meta(max_length=9)] = ()
    allow_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    expose_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    max_age: Count = 5


class ForwardBody(Part, frozen=True):
    """`max_size` in bytes; 0 sends no body."""

    max_size: CountOrZero = 0


class GRPCAuthConfig(Part, frozen=True):
    allowed_headers: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class HTTPAuthConfig(Part, frozen=True):
    path: UrlPath = ""
    allowed_headers: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    allowed_response_headers: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class HTTPExternalAuthFilter(Part, frozen=True):
    """Asks another service whether the request may pass."""

    protocol: Literal["HTTP", "GRPC"]
    backend_ref: BackendObjectReference
    grpc: GRPCAuthConfig | None = None
    http: HTTPAuthConfig | None = None
    forward_body: ForwardBody | None = None


class HTTPRouteFilter(Part, frozen=True):
    """One of the filters; `type` says which, and the field of that name holds it."""

    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
        "CORS",
        "ExternalAuth",
    ]
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    request_redirect: HTTPRequestRedirectFilter | None = None
    url_rewrite: HTTPURLRewriteFilter | None = None
    extension_ref: LocalObjectReference | None = None
    cors: HTTPCORSFilter | None = None
    external_auth: HTTPExternalAuthFilter | None = None


class GRPCRouteFilter(Part, frozen=True):
    """One of the filters; `type` says which, and the field of that name holds it."""

    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"]
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    extension_ref: LocalObjectReference | None = None
