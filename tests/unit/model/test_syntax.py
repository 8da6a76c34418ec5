import msgspec
import pytest

from tulle.model import syntax

ACCEPTED = [
    (syntax.DnsLabel, "a-1"),
    (syntax.DnsLabel, "a" * 63),
    (syntax.DnsSubdomain, "a.b-c.d"),
    (syntax.Hostname, "*.example.com"),
    (syntax.ApiGroup, ""),
    (syntax.LabelKey, "tulle.dev/mode"),
    (syntax.LabelKey, "A_b.c"),
    (syntax.LabelValue, ""),
    (syntax.LabelValue, "1.10"),
    (syntax.EnvName, "PATH"),
    (syntax.HeaderName, "X-Forwarded-For"),
    (syntax.HeaderValue, "a b\tc"),
    (syntax.Origin, "https://*.example.com:8443"),
    (syntax.UrlPath, "/a%20b"),
    (syntax.TrustDomain, "prod.example_1"),
    (syntax.PortNumber, 65535),
    (syntax.Weight, 0),
]
REFUSED = [
    (syntax.DnsLabel, "a\n"),
    (syntax.DnsLabel, "-a"),
    (syntax.DnsLabel, "a-"),
    (syntax.DnsLabel, "A"),
    (syntax.DnsLabel, "a" * 64),
    (syntax.DnsSubdomain, "a..b"),
    (syntax.Hostname, "*"),
    (syntax.Hostname, "a.*.com"),
    (syntax.LabelKey, "a/b/c"),
    (syntax.LabelKey, "a/" + "b" * 64),
    (syntax.LabelKey, "/b"),
    (syntax.LabelValue, "-a"),
    (syntax.EnvName, "1A"),
    (syntax.EnvName, "A=B"),
    (syntax.HeaderName, "a:b"),
    (syntax.HeaderValue, "a\r\nb: c"),
    (syntax.HeaderValue, " a"),
    (syntax.Origin, "ftp://a"),
    (syntax.TrustDomain, "Example.com"),
    (syntax.PortNumber, 0),
    (syntax.PortNumber, 65536),
    (syntax.Weight, -1),
]


@pytest.mark.parametrize(("type_", "value"), ACCEPTED)
def test_accepts(type_: type, value: object) -> None:
    assert msgspec.convert(value, type_) == value


@pytest.mark.parametrize(("type_", "value"), REFUSED)
def test_refuses(type_: type, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, type_)


@pytest.mark.parametrize("type_", [syntax.LabelKey, syntax.DnsSubdomain, syntax.HeaderValue, syntax.Origin])
def test_long_texts_are_refused_without_backtracking(type_: type) -> None:
    for text in ("a-" * 100_000, "a " * 100_000 + "\n", "https://" + "a." * 100_000):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, type_)
