import pytest

from tulle.model.http_filters import (
    Fraction,
    HTTPCORSFilter,
    HTTPExternalAuthFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
    HTTPURLRewriteFilter,
)
from tulle.model.references import BackendObjectReference
from tulle.model.rules.filters import filters_problems

BACKEND = BackendObjectReference("a", port=80)
HEADERS = HTTPRouteFilter("RequestHeaderModifier", request_header_modifier=HTTPHeaderFilter())
REDIRECT = HTTPRouteFilter("RequestRedirect", request_redirect=HTTPRequestRedirectFilter())
REWRITE = HTTPRouteFilter("URLRewrite", url_rewrite=HTTPURLRewriteFilter())
TWICE = (HTTPHeader("a", "b"), HTTPHeader("a", "c"))


def mirror(part: HTTPRequestMirrorFilter) -> HTTPRouteFilter:
    return HTTPRouteFilter("RequestMirror", request_mirror=part)


def rewrite(path: HTTPPathModifier) -> HTTPRouteFilter:
    return HTTPRouteFilter("URLRewrite", url_rewrite=HTTPURLRewriteFilter(path=path))


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ((HEADERS, HEADERS), "f[1].type"),
        ((REDIRECT, REWRITE), "f"),
        ((HTTPRouteFilter("CORS"),), "f[0].cors"),
        ((HTTPRouteFilter("CORS", cors=HTTPCORSFilter(), url_rewrite=HTTPURLRewriteFilter()),), "f[0].urlRewrite"),
        (
            (HTTPRouteFilter("RequestHeaderModifier", request_header_modifier=HTTPHeaderFilter(set=TWICE)),),
            "f[0].requestHeaderModifier.set[1].name",
        ),
        (
            (HTTPRouteFilter("ResponseHeaderModifier", response_header_modifier=HTTPHeaderFilter(remove=("a", "a"))),),
            "f[0].responseHeaderModifier.remove[1]",
        ),
        ((mirror(HTTPRequestMirrorFilter(BACKEND, percent=1, fraction=Fraction(1))),), "f[0].requestMirror"),
        ((mirror(HTTPRequestMirrorFilter(BACKEND, fraction=Fraction(3, 2))),), "f[0].requestMirror.fraction"),
        (
            (mirror(HTTPRequestMirrorFilter(BackendObjectReference("a"))),),
            "f[0].requestMirror.backendRef.port",
        ),
        ((rewrite(HTTPPathModifier("ReplaceFullPath")),), "f[0].urlRewrite.path.replaceFullPath"),
        ((rewrite(HTTPPathModifier("ReplaceFullPath", "/a\nb")),), "f[0].urlRewrite.path.replaceFullPath"),
        (
            (rewrite(HTTPPathModifier("ReplacePrefixMatch", replace_prefix_match="/a b")),),
            "f[0].urlRewrite.path.replacePrefixMatch",
        ),
        (
            (rewrite(HTTPPathModifier("ReplaceFullPath", "/a", "/b")),),
            "f[0].urlRewrite.path.replacePrefixMatch",
        ),
        ((HTTPRouteFilter("CORS", cors=HTTPCORSFilter(allow_methods=("*", "GET"))),), "f[0].cors.allowMethods"),
        (
            (HTTPRouteFilter("ExternalAuth", external_auth=HTTPExternalAuthFilter("GRPC", BACKEND)),),
            "f[0].externalAuth.grpc",
        ),
    ],
)
def test_refuses(filters: tuple[HTTPRouteFilter, ...], path: str) -> None:
    assert [problem.path for problem in filters_problems(filters, "f")] == [path]


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "TE", "Upgrade", "Keep-Alive"])
def test_refuses_to_edit_what_frames_a_message(name: str) -> None:
    edits = HTTPHeaderFilter(set=(HTTPHeader(name, "a"),), add=(HTTPHeader(name, "a"),), remove=(name,))
    found = list(filters_problems([HTTPRouteFilter("ResponseHeaderModifier", response_header_modifier=edits)], "f"))
    at = "f[0].responseHeaderModifier"
    assert [problem.path for problem in found] == [f"{at}.set[0].name", f"{at}.add[0].name", f"{at}.remove[0]"]
    assert all(name in problem.message and problem.hint for problem in found)


def test_accepts_what_fits_and_several_mirrors() -> None:
    filters = (HEADERS, REWRITE, mirror(HTTPRequestMirrorFilter(BACKEND)), mirror(HTTPRequestMirrorFilter(BACKEND)))
    assert list(filters_problems(filters, "f")) == []
