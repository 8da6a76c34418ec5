from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.duration import Duration
from tulle.model.grpc_route import GRPCHeaderMatch, GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule
from tulle.model.http_filters import (
    GRPCRouteFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
    HTTPURLRewriteFilter,
)
from tulle.model.http_route import (
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPQueryParamMatch,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteTimeouts,
)
from tulle.model.keys import ClusterKey
from tulle.model.names import ServiceName, ServicePort
from tulle.model.snapshot import build
from tulle.view.reader import Reader
from tulle.view.routes import HttpRoute, ordered_routes
from tulle.view.types import (
    Backend,
    DirectResponse,
    Forward,
    HeaderEdit,
    PathMatch,
    PathRewrite,
    Redirect,
    RouteMatch,
    RouteView,
    ValueMatch,
)

SERVICES = [mesh.service("catalog"), mesh.service("v2"), mesh.service("ledger", namespace="bank")]
V1 = ClusterKey(ServicePort(ServiceName("shop", "catalog"), 8080))
V2 = ClusterKey(ServicePort(ServiceName("shop", "v2"), 8080))
TO_V1 = (mesh.http_backend("catalog"),)

EXACT, PREFIX, REGEX = "Exact", "PathPrefix", "RegularExpression"


def ordered(*routes: HttpRoute) -> tuple[RouteView, ...]:
    return ordered_routes(Reader(build(SERVICES)), routes)


def order(*routes: HttpRoute) -> list[str]:
    """The names of the rules in the order in which they are tried, without what all of them start with."""
    return [view.name.rpartition("/")[2] for view in ordered(*routes)]


def rule(name: str, *matches: HTTPRouteMatch) -> HTTPRouteRule:
    return HTTPRouteRule(name, matches or (HTTPRouteMatch(),), backend_refs=TO_V1)


def at(path: str, kind: str = PREFIX, *, method: str = "", headers: int = 0, query: int = 0) -> HTTPRouteMatch:
    return HTTPRouteMatch(
        HTTPPathMatch(kind, path),  # type: ignore[arg-type]
        tuple(HTTPHeaderMatch(f"h{n}", "x") for n in range(headers)),
        tuple(HTTPQueryParamMatch(f"q{n}", "x") for n in range(query)),
        method or None,  # type: ignore[arg-type]
    )


def one(rule: HTTPRouteRule) -> RouteView:
    (view,) = ordered(mesh.http_route("r", rule))
    return view


class TestPrecedenceOfHttp:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (at("/a", EXACT), at("/a/long/prefix")),
            (at("/a", EXACT), at("/a", method="GET", headers=3, query=3)),
            (at("/long"), at("/a")),
            (at("/long"), at("/a", method="GET", headers=3, query=3)),
            (at("/a", method="GET"), at("/a", headers=3, query=3)),
            (at("/a", headers=2), at("/a", headers=1, query=5)),
            (at("/a", query=2), at("/a", query=1)),
            (at("/a", EXACT), at("/a.*", REGEX)),
            (at("/a.*", REGEX), at("/a")),
        ],
    )
    def test_is_the_specifications(self, first: HTTPRouteMatch, second: HTTPRouteMatch):
        assert order(mesh.http_route("r", rule("second", second), rule("first", first))) == ["first", "second"]
        assert order(mesh.http_route("r", rule("first", first), rule("second", second))) == ["first", "second"]

    def test_then_the_older_route_comes_first(self):
        old = mesh.http_route("z", rule("old"), created="2026-01-01T00:00:00.000001+00:00")
        new = mesh.http_route("a", rule("new"), created="2026-01-01T00:00:00.000002+00:00")
        assert order(new, old) == order(old, new) == ["old", "new"]

    def test_then_the_name_decides(self):
        a = mesh.http_route("a", rule("a"), created="2026-01-01T00:00:00Z")
        b = mesh.http_route("b", rule("b"), created="2026-01-01T00:00:00Z")
        assert order(b, a) == order(a, b) == ["a", "b"]

    def test_then_the_order_of_rules_does(self):
        assert order(mesh.http_route("r", rule("z"), rule("a"), rule("m"))) == ["z", "a", "m"]

    def test_matches_of_a_rule_are_ranked_each_for_itself(self):
        route = mesh.http_route("r", rule("wide", at("/"), at("/a/b")), rule("mid", at("/a")))
        assert order(route) == ["wide", "mid", "wide"]

    def test_an_older_route_does_not_hide_a_better_match(self):
        old = mesh.http_route("old", rule("all"), created="2026-01-01T00:00:00Z")
        new = mesh.http_route("new", rule("exact", at("/a", EXACT)), created="2026-01-02T00:00:00Z")
        assert order(old, new) == ["exact", "all"]

    @given(
        st.lists(
            st.builds(
                at,
                st.sampled_from(["/", "/a", "/a/b", "/ab"]),
                st.sampled_from([EXACT, PREFIX]),
                method=st.sampled_from(["", "GET"]),
                headers=st.integers(0, 2),
                query=st.integers(0, 2),
            ),
            max_size=6,
        ),
        st.randoms(),
    )
    def test_does_not_depend_on_the_order_of_routes(self, matches: list[HTTPRouteMatch], random: object):
        routes = [mesh.http_route(f"r{n}", rule("x", match)) for n, match in enumerate(matches)]
        shuffled = list(routes)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert ordered(*shuffled) == ordered(*routes)


def called(service: str = "", method: str = "", kind: str = EXACT, headers: int = 0) -> GRPCRouteMatch:
    names = GRPCMethodMatch(kind, service, method) if service or method else None  # type: ignore[arg-type]
    return GRPCRouteMatch(names, tuple(GRPCHeaderMatch(f"h{n}", "x") for n in range(headers)))


def grpc_rule(name: str, *matches: GRPCRouteMatch) -> GRPCRouteRule:
    return GRPCRouteRule(name, matches, backend_refs=(mesh.grpc_backend("catalog"),))


class TestPrecedenceOfGrpc:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (called("shop.Catalog"), called("Cat", "GetEverythingThereIs")),
            (called("shop.Catalog", "Get"), called("shop.Catalog")),
            (called("shop.Catalog"), called("", "Get")),
            (called("shop.Catalog"), called("", "Get", headers=5)),
            (called("", "GetAll"), called("", "Get")),
            (called("S", "GetAll"), called("S", "Get", headers=5)),
            (called("S", "Get", headers=2), called("S", "Get", headers=1)),
            (called("S"), called()),
            (called("", "Get"), called(headers=5)),
            (called(headers=1), called()),
            (called("S", "M"), called("S.*", "M.*", REGEX)),
            (called("S.*", "", REGEX), called(headers=5)),
        ],
    )
    def test_is_the_specifications(self, first: GRPCRouteMatch, second: GRPCRouteMatch):
        route = mesh.grpc_route("r", grpc_rule("second", second), grpc_rule("first", first))
        assert order(route) == ["first", "second"]

    def test_a_rule_without_matches_comes_last(self):
        assert order(mesh.grpc_route("r", grpc_rule("all"), grpc_rule("one", called("S", "M")))) == ["one", "all"]


class TestMatches:
    def test_a_rule_without_matches_takes_everything(self):
        assert one(HTTPRouteRule(matches=(), backend_refs=TO_V1)).match == RouteMatch(PathMatch("prefix", "/"))

    def test_all_conditions_are_kept(self):
        match = HTTPRouteMatch(
            HTTPPathMatch(REGEX, "/v[0-9]/.*"),
            (HTTPHeaderMatch("Version", "2"), HTTPHeaderMatch("Agent", ".*curl.*", REGEX)),
            (HTTPQueryParamMatch("Q", "a b"), HTTPQueryParamMatch("n", "[0-9]+", REGEX)),
            "PATCH",
        )
        assert one(rule("r", match)).match == RouteMatch(
            PathMatch("regex", "/v[0-9]/.*"),
            (ValueMatch("version", "exact", "2"), ValueMatch("agent", "regex", ".*curl.*")),
            (ValueMatch("Q", "exact", "a b"), ValueMatch("n", "regex", "[0-9]+")),
            "PATCH",
        )

    def test_of_two_headers_of_one_name_the_first_counts(self):
        match = HTTPRouteMatch(headers=(HTTPHeaderMatch("Version", "1"), HTTPHeaderMatch("VERSION", "2")))
        assert one(rule("r", match)).match.headers == (ValueMatch("version", "exact", "1"),)

    def test_names_of_query_parameters_have_a_case(self):
        match = HTTPRouteMatch(query_params=(HTTPQueryParamMatch("q", "1"), HTTPQueryParamMatch("Q", "2")))
        assert [q.value for q in one(rule("r", match)).match.query] == ["1", "2"]

    @pytest.mark.parametrize(
        ("match", "path"),
        [
            (called("shop.Catalog", "Get"), PathMatch("exact", "/shop.Catalog/Get")),
            (called("shop.Catalog"), PathMatch("prefix", "/shop.Catalog")),
            (called("", "Get"), PathMatch("regex", "/[^/]+/Get")),
            (called(), PathMatch("prefix", "/")),
            (called("shop\\..*", "Get.*", REGEX), PathMatch("regex", "/(?:shop\\..*)/(?:Get.*)")),
            (called("shop\\..*", "", REGEX), PathMatch("regex", "/(?:shop\\..*)/(?:[^/]+)")),
            (called("", "Get|Set", REGEX), PathMatch("regex", "/(?:[^/]+)/(?:Get|Set)")),
            (called("a|b", "c|d", REGEX), PathMatch("regex", "/(?:a|b)/(?:c|d)")),
        ],
    )
    def test_calls_are_paths(self, match: GRPCRouteMatch, path: PathMatch):
        (view,) = ordered(mesh.grpc_route("r", grpc_rule("x", match)))
        assert view.match.path == path

    def test_metadata_are_headers(self):
        match = GRPCRouteMatch(headers=(GRPCHeaderMatch("Tenant", "a.*", REGEX),))
        (view,) = ordered(mesh.grpc_route("r", grpc_rule("x", match)))
        assert view.match.headers == (ValueMatch("tenant", "regex", "a.*"),)


def header(name: str, value: str) -> HTTPHeader:
    return HTTPHeader(name, value)


EDIT = HTTPHeaderFilter((header("x-set", "1"),), (header("x-add", "2"), header("x-add", "3")), ("x-remove",))
EDITED = HeaderEdit((("x-set", "1"),), (("x-add", "2"), ("x-add", "3")), ("x-remove",))
REQUEST_EDIT = HTTPRouteFilter("RequestHeaderModifier", request_header_modifier=EDIT)
RESPONSE_EDIT = HTTPRouteFilter("ResponseHeaderModifier", response_header_modifier=EDIT)
MIRROR = HTTPRouteFilter("RequestMirror")


def redirect(**fields: object) -> HTTPRouteFilter:
    return HTTPRouteFilter("RequestRedirect", request_redirect=HTTPRequestRedirectFilter(**fields))  # type: ignore[arg-type]


def rewrite(hostname: str = "", path: HTTPPathModifier | None = None) -> HTTPRouteFilter:
    return HTTPRouteFilter("URLRewrite", url_rewrite=HTTPURLRewriteFilter(hostname, path))


class TestActions:
    def test_a_route_is_named_after_its_object_and_rule(self):
        route = mesh.http_route("r", HTTPRouteRule(backend_refs=TO_V1), rule("named"))
        assert [v.name for v in ordered(route)] == ["HTTPRoute/shop/r/0", "HTTPRoute/shop/r/named"]
        assert ordered(mesh.grpc_route("g", GRPCRouteRule()))[0].name == "GRPCRoute/shop/g/0"

    def test_backends_keep_their_weights(self):
        refs = (mesh.http_backend("catalog", 90), mesh.http_backend("v2", 10))
        assert one(HTTPRouteRule(backend_refs=refs)).action == Forward((Backend(V1, 90), Backend(V2, 10)))

    def test_a_backend_without_weight_gets_nothing(self):
        refs = (mesh.http_backend("catalog", 0), mesh.http_backend("v2", 1))
        assert one(HTTPRouteRule(backend_refs=refs)).action == Forward((Backend(V2, 1),))

    def test_a_missing_backend_keeps_its_share(self):
        refs = (mesh.http_backend("catalog", 3), mesh.http_backend("nobody", 1))
        assert one(HTTPRouteRule(backend_refs=refs)).action == Forward((Backend(V1, 3), Backend(None, 1)))

    def test_a_backend_that_is_not_granted_keeps_its_share(self):
        refs = (mesh.http_backend("ledger", namespace="bank"),)
        assert one(HTTPRouteRule(backend_refs=refs)).action == Forward((Backend(None, 1),))

    @pytest.mark.parametrize("refs", [(), (mesh.http_backend("catalog", 0),)])
    def test_no_backend_is_500(self, refs: Sequence[object]):
        action = one(HTTPRouteRule(backend_refs=tuple(refs))).action  # type: ignore[arg-type]
        assert isinstance(action, DirectResponse) and action.status == 500

    def test_of_grpc_what_leads_nowhere_is_unavailable(self):
        (none,) = ordered(mesh.grpc_route("r", GRPCRouteRule()))
        assert isinstance(none.action, DirectResponse) and none.action.status == 503
        half = GRPCRouteRule(backend_refs=(mesh.grpc_backend("catalog"), mesh.grpc_backend("nobody")))
        (view,) = ordered(mesh.grpc_route("r", half))
        assert view.action == Forward((Backend(V1, 1), Backend(None, 1)), failure=503)

    @pytest.mark.parametrize("kind", ["RequestMirror", "ExtensionRef", "CORS", "ExternalAuth"])
    def test_a_filter_that_is_not_served_is_500(self, kind: str):
        unserved = HTTPRouteFilter(kind)  # type: ignore[arg-type]
        in_rule = HTTPRouteRule(filters=(unserved,), backend_refs=TO_V1)
        in_backend = HTTPRouteRule(backend_refs=(replace(mesh.http_backend("catalog"), filters=(unserved,)),))
        for view in (one(in_rule), one(in_backend)):
            assert isinstance(view.action, DirectResponse) and view.action.status == 500

    def test_a_filter_that_is_not_served_counts_even_without_weight(self):
        unserved = replace(mesh.http_backend("v2", 0), filters=(MIRROR,))
        action = one(HTTPRouteRule(backend_refs=(*TO_V1, unserved))).action
        assert isinstance(action, DirectResponse) and action.status == 500

    @pytest.mark.parametrize("refused", [redirect(), rewrite("x")])
    def test_backends_cannot_redirect_or_rewrite(self, refused: HTTPRouteFilter):
        """To ignore it would send requests somewhere else than the route says."""
        action = one(HTTPRouteRule(backend_refs=(replace(mesh.http_backend("catalog"), filters=(refused,)),))).action
        assert isinstance(action, DirectResponse) and action.status == 500

    def test_headers_are_edited_for_the_rule_and_for_each_backend(self):
        view = one(
            HTTPRouteRule(
                filters=(REQUEST_EDIT, RESPONSE_EDIT),
                backend_refs=(replace(mesh.http_backend("catalog"), filters=(REQUEST_EDIT,)), mesh.http_backend("v2")),
            )
        )
        assert (view.request_headers, view.response_headers) == (EDITED, EDITED)
        assert view.action == Forward((Backend(V1, 1, EDITED), Backend(V2, 1)))

    def test_headers_of_calls_are_edited_too(self):
        edit = GRPCRouteFilter("ResponseHeaderModifier", response_header_modifier=EDIT)
        (view,) = ordered(mesh.grpc_route("r", GRPCRouteRule(filters=(edit,))))
        assert view.response_headers == EDITED


class TestRedirects:
    def test_keep_what_they_do_not_say(self):
        assert one(HTTPRouteRule(filters=(redirect(),))).action == Redirect()

    def test_change_what_they_say(self):
        path = HTTPPathModifier("ReplaceFullPath", "/new")
        fields = {"scheme": "https", "hostname": "example.com", "path": path, "port": 8443, "status_code": 308}
        assert one(HTTPRouteRule(filters=(redirect(**fields),))).action == Redirect(
            "https", "example.com", 8443, PathRewrite("full", "/new"), 308
        )

    def test_need_no_backend_and_edit_headers_of_the_response(self):
        view = one(HTTPRouteRule(filters=(RESPONSE_EDIT, redirect())))
        assert view.action == Redirect()
        assert view.response_headers == EDITED


class TestRewrites:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            (None, None),
            (HTTPPathModifier("ReplaceFullPath", "/x"), PathRewrite("full", "/x")),
            (HTTPPathModifier("ReplacePrefixMatch", replace_prefix_match="/x"), PathRewrite("prefix", "/x")),
            (HTTPPathModifier("ReplacePrefixMatch", replace_prefix_match=""), PathRewrite("prefix", "/")),
            (HTTPPathModifier("ReplaceFullPath", ""), PathRewrite("full", "/")),
        ],
    )
    def test_of_paths(self, path: HTTPPathModifier | None, expected: PathRewrite | None):
        action = one(HTTPRouteRule(filters=(rewrite("host.example", path),), backend_refs=TO_V1)).action
        assert action == Forward((Backend(V1, 1),), "host.example", expected)


class TestTimeouts:
    def test_are_the_rules(self):
        limits = HTTPRouteTimeouts(Duration.parse("10s"), Duration.parse("1500ms"))
        view = one(HTTPRouteRule(timeouts=limits, backend_refs=TO_V1))
        assert (view.timeout, view.backend_timeout) == (timedelta(seconds=10), timedelta(seconds=1.5))

    def test_zero_is_no_limit(self):
        zero = Duration.parse("0s")
        view = one(HTTPRouteRule(timeouts=HTTPRouteTimeouts(zero, zero), backend_refs=TO_V1))
        assert (view.timeout, view.backend_timeout) == (None, None)
