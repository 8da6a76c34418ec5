"""Redirects name scheme, host and port as Gateway API says."""

import pytest

from tulle.view.types import PathMatch, Redirect
from tulle.xds.features.redirect import redirect


@pytest.mark.parametrize(
    ("view", "authority", "scheme", "host", "port"),
    [
        (Redirect(hostname="example.com"), "catalog:8080", "", "example.com", 8080),
        (Redirect(hostname="example.com"), "catalog", "", "example.com", 0),
        (Redirect(scheme="https"), "catalog:8080", "https", "catalog", 0),
        (Redirect(scheme="http"), "catalog:8080", "http", "catalog", 0),
        (Redirect(scheme="https", port=80), "catalog", "https", "catalog", 80),
        (Redirect(scheme="https", port=443), "catalog", "https", "catalog", 0),
        (Redirect(port=80), "catalog:8080", "", "catalog", 0),
        (Redirect(port=8443), "[fd74::1]:8080", "", "[fd74::1]", 8443),
        (Redirect(scheme="https"), "[fd74::1]", "https", "[fd74::1]", 0),
    ],
)
def test_scheme_host_and_port(view: Redirect, authority: str, scheme: str, host: str, port: int) -> None:
    action = redirect(view, PathMatch("prefix", "/"), authority)
    assert (action.scheme_redirect, action.host_redirect, action.port_redirect) == (scheme, host, port)
