import pytest

from tulle.model.dns_server import DnsServer, dns_server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", DnsServer("192.0.2.53", 53)),
        ("192.0.2.53:5353", DnsServer("192.0.2.53", 5353)),
        ("2001:db8::53", DnsServer("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", DnsServer("2001:db8::53", 5353)),
        ("[2001:db8::53]", None),
        ("[192.0.2.53]:53", None),
        ("dns.example.com", None),
        ("192.0.2.53:0", None),
        ("192.0.2.53:70000", None),
        ("192.0.2.53:", None),
        (":53", None),
        ("", None),
    ],
)
def test_servers_are_addresses_with_an_optional_port(text: str, expected: DnsServer | None) -> None:
    assert dns_server(text) == expected
