"""The rules of a workload's namespace read as what they should be."""

from ipaddress import ip_address

from tulle.agent.capture.rules import Accept, Redirect, Refuse, Table, Tcp, To, Udp, workload_rules


def _texts(table: Table, chain: str) -> list[str]:
    return [str(rule) for found in table.chains if found.name == chain for rule in found.rules]


def test_tcp_goes_to_the_proxy_and_dns_to_the_agent() -> None:
    assert _texts(workload_rules(), "redirect") == [
        "ip daddr 127.0.0.53 udp dport 53 redirect to :15053",
        "ip daddr 127.0.0.53 tcp dport 53 redirect to :15053",
        "ip daddr 127.0.0.0/8 accept",
        "ip6 daddr ::1 accept",
        "udp dport 53 redirect to :15053",
        "tcp dport 53 redirect to :15053",
        "meta l4proto tcp redirect to :15001",
    ]


def test_everything_else_is_refused_at_once() -> None:
    assert _texts(workload_rules(), "refuse") == [
        "meta l4proto tcp accept",
        "icmp type destination-unreachable ct reply proto-src 15053 drop",
        "icmpv6 type destination-unreachable ct reply proto-src 15053 drop",
        "ip daddr 127.0.0.0/8 accept",
        "ip6 daddr ::1 accept",
        "ct direction reply accept",
        "icmp type destination-unreachable accept",
        "icmpv6 type destination-unreachable accept",
        "reject with icmpx admin-prohibited",
    ]


def test_redirects_come_before_the_filter_sees_the_packet() -> None:
    redirect, refuse, _ = workload_rules().chains
    assert (redirect.type, redirect.hook) == ("nat", "output")
    assert (refuse.type, refuse.hook) == ("filter", "output")
    assert redirect.priority < refuse.priority
    assert refuse.rules[-1].matches == ()
    assert refuse.rules[-1].verdict == Refuse()


def test_what_is_not_redirected_is_not_tracked() -> None:
    assert _texts(workload_rules(), "untracked") == [
        "ip daddr 127.0.0.53 accept",
        "tcp dport 15001 accept",
        "tcp sport 15001 accept",
        "tcp dport 15053 accept",
        "tcp sport 15053 accept",
        "ip daddr 127.0.0.0/8 meta l4proto tcp notrack",
        "ip6 daddr ::1 meta l4proto tcp notrack",
    ]


def test_an_application_that_is_a_name_server_keeps_its_port() -> None:
    for rule in workload_rules().chains[0].rules:
        fits = all(
            ip_address("127.0.0.1") in match.prefix if isinstance(match, To) else match in (Udp(53), Tcp(53), Tcp())
            for match in rule.matches
        )
        if fits:
            assert rule.verdict == Accept()
            return
    raise AssertionError("no rule fits")


def test_ports_are_settings() -> None:
    verdicts = {rule.verdict for rule in workload_rules(1, 2, "127.0.0.9").chains[0].rules}
    assert verdicts == {Accept(), Redirect(1), Redirect(2)}
