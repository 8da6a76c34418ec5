"""HTTPRoute: where HTTP requests go. Source: Gateway API 1.6, standard and experimental fields."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from tulle.model.duration import Duration
from tulle.model.http_filters import HTTPRouteFilter, Method
from tulle.model.part import Part
from tulle.model.references import BackendRef, ParentReferences
from tulle.model.resource import NamespacedBase
from tulle.model.session_persistence import SessionPersistence
from tulle.model.syntax import Count, DnsSubdomain, HeaderName, HeaderValue, Hostname


class HTTPPathMatch(Part, frozen=True):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, Meta(max_length=1024)] = "/"


class HTTPHeaderMatch(Part, frozen=True):
    name: HeaderName
    value: HeaderValue
    type: Literal["Exact", "RegularExpression"] = "Exact"


class HTTPQueryParamMatch(Part, frozen=True):
    name: HeaderName
    value: Annotated[str, Meta(min_length=1, max_length=1024)]
    type: Literal["Exact", "RegularExpression"] = "Exact"


class HTTPRouteMatch(Part, frozen=True):
    """All of its conditions together. `method` None: any."""

    path: HTTPPathMatch = HTTPPathMatch()
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Meta(max_length=16)] = ()
    query_params: Annotated[tuple[HTTPQueryParamMatch, ...], Meta(max_length=16)] = ()
    method: Method | None = None


class HTTPBackendRef(BackendRef, frozen=True):
    filters: Annotated[tuple[HTTPRouteFilter, ...], Meta(max_length=16)] = ()


class HTTPRouteTimeouts(Part, frozen=True):
    """`request` limits the whole exchange, `backend_request` one try. Zero means no limit."""

    request: Duration | None = None
    backend_request: Duration | None = None


class HTTPRouteRetry(Part, frozen=True):
    codes: tuple[Annotated[int, Meta(ge=400, le=599, description="a status code from 400 to 599")], ...] = ()
    attempts: Count | None = None
    backoff: Duration | None = None


ANY_REQUEST = (HTTPRouteMatch(),)


class HTTPRouteRule(Part, frozen=True):
    """A request that fits any of `matches` is filtered and forwarded. No matches: every request fits."""

    name: DnsSubdomain = ""
    matches: Annotated[tuple[HTTPRouteMatch, ...], Meta(max_length=64)] = ANY_REQUEST
    filters: Annotated[tuple[HTTPRouteFilter, ...], Meta(max_length=16)] = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Meta(max_length=16)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: SessionPersistence | None = None

    def __post_init__(self) -> None:
        if not self.matches:
            force_setattr(self, "matches", ANY_REQUEST)


class HTTPRouteSpec(Part, frozen=True):
    parent_refs: ParentReferences = ()
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Meta(min_length=1, max_length=16)] = (HTTPRouteRule(),)
    use_default_gateways: Literal["All", "None"] | None = None


class HTTPRoute(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "gateway.networking.k8s.io/v1"

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    spec: HTTPRouteSpec
