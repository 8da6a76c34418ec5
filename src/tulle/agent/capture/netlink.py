"""Gives a network namespace its interface, routes and packet rules, over netlink.

No external program: a fresh host has no `nft`. Everything here acts on the network namespace of the calling thread.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, nlmsg
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFPROTO_INET,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWTABLE,
    Cmp,
    Meta,
    Regs,
    nft_chain_msg,
    nft_rule_msg,
    nft_table_msg,
)
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from tulle.agent.capture.rules import (
    Accept,
    AnsweredFrom,
    Drop,
    Match,
    Redirect,
    Refuse,
    Reply,
    Rule,
    Table,
    Tcp,
    TcpFrom,
    To,
    Udp,
    Unreachable,
    Untrack,
    Verdict,
)

Expression = dict[str, list[tuple[str, object]]]
"""One expression of the nftables virtual machine, as pyroute2 takes it."""

_RTN_LOCAL = 2
_LOOPBACK_INDEX = 1
_NF_DROP, _NF_ACCEPT = 0, 1
_NFPROTO = {4: 2, 6: 10}
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_DESTINATION_OFFSET = {4: 16, 6: 24}
_CT_DIRECTION, _CT_PROTO_SRC, _CT_REPLY = 1, 11, 1
_ICMP = {4: (socket.IPPROTO_ICMP, 3), 6: (socket.IPPROTO_ICMPV6, 1)}
_REJECT_ICMPX, _ADMIN_PROHIBITED = 2, 3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_HOOKS = {"output": 3}
_SCOPE_HOST = 254
# Nothing is sent from them. Programs that ask for addresses of the IP versions that this host has (AI_ADDRCONFIG) would
# get none: 127.0.0.1 and ::1 do not count there. Source: glibc, sysdeps/unix/sysv/linux/check_pf.c.
_SECOND_ADDRESSES = ((socket.AF_INET, "127.0.0.2", 8), (socket.AF_INET6, "fd74:756c:6c65::2", 128))
_UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_IPV6_OFF = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")


def has_ipv6() -> bool:
    """Whether the kernel has IPv6 at all."""
    return _IPV6_OFF.exists()


def loopback_up() -> None:
    """Brings `lo` up."""
    with IPRoute() as route:
        route.link("set", index=_LOOPBACK_INDEX, state="up")


def route_everything_to_loopback() -> None:
    """Brings `lo` up and makes every address of both IP versions one of this host, and every port free to bind.

    Without a preferred source each peer's address would equal its destination, which breaks DNS over UDP.
    """
    _UNPRIVILEGED_PORTS.write_text("0")
    if has_ipv6():  # a host may turn it off for new namespaces
        _IPV6_OFF.write_text("0")
    with IPRoute() as route:
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        everywhere = [(socket.AF_INET, "0.0.0.0/0", "127.0.0.1"), (socket.AF_INET6, "::/0", "::1")]
        versions = len(everywhere) if has_ipv6() else 1
        for family, address, length in _SECOND_ADDRESSES[:versions]:
            route.addr(
                "add", index=_LOOPBACK_INDEX, family=family, address=address, prefixlen=length, scope=_SCOPE_HOST
            )
        for family, everything, source in everywhere[:versions]:
            route.route(
                "add",
                family=family,
                dst=everything,
                type=_RTN_LOCAL,
                scope=_SCOPE_HOST,
                oif=_LOOPBACK_INDEX,
                prefsrc=source,
            )


def install(table: Table) -> None:
    """Adds the table in one transaction: all of its rules or none. Raises NetlinkError where the kernel refuses."""

    async def send() -> None:
        async for _ in nft.asyncore.nlm_request_batch(list(_messages(table))):
            pass

    with NFTables(nfgen_family=NFPROTO_INET) as nft:
        nft._run_with_cleanup(send)


def _messages(table: Table) -> Iterator[nlmsg]:
    yield _boundary(_BATCH_BEGIN)
    yield _message(nft_table_msg(), NFT_MSG_NEWTABLE, NLM_F_EXCL, [("NFTA_TABLE_NAME", table.name)])
    for chain in table.chains:
        hook = {
            "attrs": [("NFTA_HOOK_HOOKNUM", _HOOKS[chain.hook]), ("NFTA_HOOK_PRIORITY", chain.priority)],
        }
        attributes: list[tuple[str, object]] = [
            ("NFTA_CHAIN_TABLE", table.name),
            ("NFTA_CHAIN_NAME", chain.name),
            ("NFTA_CHAIN_HOOK", hook),
            ("NFTA_CHAIN_POLICY", _NF_ACCEPT),
            ("NFTA_CHAIN_TYPE", chain.type),
        ]
        yield _message(nft_chain_msg(), NFT_MSG_NEWCHAIN, NLM_F_EXCL, attributes)
        for rule in chain.rules:
            attributes = [
                ("NFTA_RULE_TABLE", table.name),
                ("NFTA_RULE_CHAIN", chain.name),
                ("NFTA_RULE_EXPRESSIONS", list(expressions(rule))),
            ]
            yield _message(nft_rule_msg(), NFT_MSG_NEWRULE, NLM_F_APPEND, attributes)
    yield _boundary(_BATCH_END)


def _boundary(kind: int) -> nlmsg:
    message = nfgen_msg()
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST
    return message


def _message(message: nlmsg, kind: int, flags: int, attributes: list[tuple[str, object]]) -> nlmsg:
    message["attrs"] = attributes
    message["header"]["type"] = (NFNL_SUBSYS_NFTABLES << 8) | kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags
    message["nfgen_family"] = NFPROTO_INET
    return message


def expressions(rule: Rule) -> Iterator[Expression]:
    """What the kernel executes for a rule: loads and comparisons, then the verdict."""
    for match in rule.matches:
        yield from _match(match)
    yield from _verdict(rule.verdict)


def _match(match: Match) -> Iterator[Expression]:
    match match:
        case To(prefix):
            yield from _meta_is(Meta.NFT_META_NFPROTO, _NFPROTO[prefix.version])
            wanted = prefix.network_address.packed[: prefix.prefixlen // 8]
            yield from _payload_is(_NETWORK_HEADER, _DESTINATION_OFFSET[prefix.version], wanted)
        case Udp(port):
            yield from _meta_is(Meta.NFT_META_L4PROTO, socket.IPPROTO_UDP)
            yield from _payload_is(_TRANSPORT_HEADER, 2, port.to_bytes(2, "big"))
        case Tcp(port):
            yield from _meta_is(Meta.NFT_META_L4PROTO, socket.IPPROTO_TCP)
            if port is not None:
                yield from _payload_is(_TRANSPORT_HEADER, 2, port.to_bytes(2, "big"))
        case TcpFrom(port):
            yield from _meta_is(Meta.NFT_META_L4PROTO, socket.IPPROTO_TCP)
            yield from _payload_is(_TRANSPORT_HEADER, 0, port.to_bytes(2, "big"))
        case Reply():
            yield genex("ct", {"dreg": Regs.NFT_REG_1.value, "key": _CT_DIRECTION})
            yield _compare(bytes([_CT_REPLY]))
        case Unreachable(version):
            protocol, icmp_type = _ICMP[version]
            yield from _meta_is(Meta.NFT_META_L4PROTO, protocol)
            yield from _payload_is(_TRANSPORT_HEADER, 0, bytes([icmp_type]))
        case AnsweredFrom(port):
            yield genex("ct", {"dreg": Regs.NFT_REG_1.value, "key": _CT_PROTO_SRC, "direction": _CT_REPLY})
            yield _compare(port.to_bytes(2, "big"))


def _verdict(outcome: Verdict) -> Iterator[Expression]:
    match outcome:
        case Accept():
            yield from verdict(code=_NF_ACCEPT)
        case Drop():
            yield from verdict(code=_NF_DROP)
        case Redirect(port):
            value = {"attrs": [("NFTA_DATA_VALUE", port.to_bytes(2, "big"))]}
            yield genex("immediate", {"dreg": Regs.NFT_REG_1.value, "data": value})
            yield genex("redir", {"reg_proto_min": Regs.NFT_REG_1.value})
        case Refuse():
            yield genex("reject", {"type": _REJECT_ICMPX, "icmp_code": _ADMIN_PROHIBITED})
        case Untrack():
            yield {"attrs": [("NFTA_EXPR_NAME", "notrack")]}


def _meta_is(key: Meta, value: int) -> Iterator[Expression]:
    yield genex("meta", {"dreg": Regs.NFT_REG_1.value, "key": key.value})
    yield _compare(bytes([value]))


def _payload_is(base: int, offset: int, wanted: bytes) -> Iterator[Expression]:
    load = {"dreg": Regs.NFT_REG_1.value, "base": base, "offset": offset, "len": len(wanted)}
    yield genex("payload", load)
    yield _compare(wanted)


def _compare(wanted: bytes) -> Expression:
    value = {"attrs": [("NFTA_DATA_VALUE", wanted)]}
    return genex("cmp", {"sreg": Regs.NFT_REG_1.value, "op": Cmp.NFT_CMP_EQ.value, "data": value})
