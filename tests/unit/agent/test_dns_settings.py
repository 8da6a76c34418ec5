from tulle.agent.dns_settings import DnsSettings
from tulle.model.dns_server import DnsServer
from tulle.view.types import DnsView

HOST = (("10.0.0.1", 53),)


def test_before_anything_is_said_names_are_those_of_any_mesh() -> None:
    settings = DnsSettings(lambda: HOST)
    assert (settings.domains, settings.search_domain, settings.servers()) == (
        ("cluster.local",),
        "cluster.local",
        HOST,
    )


def test_what_the_mesh_says_counts_until_it_says_otherwise() -> None:
    settings = DnsSettings(lambda: HOST)
    settings.apply(
        DnsView(("corp.example", "cluster.local"), (DnsServer("192.0.2.53"), DnsServer("2001:db8::5", 5353)))
    )
    assert settings.domains == ("corp.example", "cluster.local")
    assert settings.search_domain == "corp.example"
    assert settings.servers() == (("192.0.2.53", 53), ("2001:db8::5", 5353))
    settings.apply(DnsView(()))
    assert (settings.search_domain, settings.servers()) == ("", HOST)
