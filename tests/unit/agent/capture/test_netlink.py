"""Rules become what the kernel executes."""

from ipaddress import IPv4Network, IPv6Network

from tulle.agent.capture.netlink import expressions
from tulle.agent.capture.rules import (
    Accept,
    AnsweredFrom,
    Drop,
    Redirect,
    Refuse,
    Reply,
    Rule,
    Tcp,
    To,
    Udp,
    Unreachable,
    workload_rules,
)


def _names(rule: Rule) -> list[object]:
    return [dict(expression["attrs"])["NFTA_EXPR_NAME"] for expression in expressions(rule)]


def test_every_match_loads_and_compares() -> None:
    compare_twice = ["meta", "cmp", "payload", "cmp", "immediate"]
    assert _names(Rule((To(IPv4Network("127.0.0.0/8")),), Accept())) == compare_twice
    assert _names(Rule((To(IPv6Network("::1/128")),), Accept())) == compare_twice
    assert _names(Rule((Udp(53),), Accept())) == compare_twice
    assert _names(Rule((Tcp(53),), Accept())) == compare_twice
    assert _names(Rule((Unreachable(4),), Accept())) == compare_twice
    assert _names(Rule((Tcp(),), Accept())) == ["meta", "cmp", "immediate"]
    assert _names(Rule((Reply(),), Accept())) == ["ct", "cmp", "immediate"]
    assert _names(Rule((AnsweredFrom(15053),), Accept())) == ["ct", "cmp", "immediate"]


def test_every_verdict() -> None:
    assert _names(Rule((), Redirect(15001))) == ["immediate", "redir"]
    assert _names(Rule((), Refuse())) == ["reject"]
    assert _names(Rule((), Drop())) == ["immediate"]


def test_a_prefix_is_compared_by_its_own_bytes_only() -> None:
    rule = Rule((To(IPv4Network("127.0.0.0/8")),), Accept())
    load = dict(list(expressions(rule))[2]["attrs"])["NFTA_EXPR_DATA"]
    assert isinstance(load, dict)
    assert dict(load["attrs"])["NFTA_PAYLOAD_LEN"] == 1


def test_all_rules_of_a_workload_can_be_written() -> None:
    assert all(_names(rule) for chain in workload_rules().chains for rule in chain.rules)
