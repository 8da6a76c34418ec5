"""The packet rules of a workload's namespace, as data.

Why they are what they are: in such a namespace every address is routed to `lo`, so whatever an application sends can
only arrive at a socket inside. The rules choose the socket (the proxy's or the DNS server's) and refuse the rest at
once, with an error that the application sees, where it would otherwise talk to itself or wait.
Pure; `netlink.py` gives them to the kernel.
"""

from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

OUTBOUND_PORT = 15001
"""Where the proxy accepts the outbound TCP connections of the application."""

DNS_PORT = 15053
"""Where the agent answers DNS, UDP and TCP, on 127.0.0.1 and ::1."""

RESOLVER = "127.0.0.53"
"""The name server in an application's resolv.conf. A loopback address of its own, so that an application which is
itself a name server keeps 127.0.0.1:53; and the one that hosts with systemd-resolved have in copies of the file."""


class To(Struct, frozen=True):
    """Packets to an address in `prefix`, whose length is a multiple of 8."""

    prefix: IPv4Network | IPv6Network

    def __str__(self) -> str:
        family = "ip" if self.prefix.version == 4 else "ip6"
        whole = self.prefix.prefixlen == self.prefix.max_prefixlen
        return f"{family} daddr {self.prefix.network_address if whole else self.prefix}"


class Udp(Struct, frozen=True):
    """UDP packets to `port`."""

    port: int

    def __str__(self) -> str:
        return f"udp dport {self.port}"


class Tcp(Struct, frozen=True):
    """TCP packets to `port`, to any where it is None."""

    port: int | None = None

    def __str__(self) -> str:
        return "meta l4proto tcp" if self.port is None else f"tcp dport {self.port}"


class TcpFrom(Struct, frozen=True):
    """TCP packets from `port`."""

    port: int

    def __str__(self) -> str:
        return f"tcp sport {self.port}"


class Reply(Struct, frozen=True):
    """Packets that answer a flow which the other side began."""

    def __str__(self) -> str:
        return "ct direction reply"


class Unreachable(Struct, frozen=True):
    """ICMP errors "destination unreachable" of one IP version."""

    version: int

    def __str__(self) -> str:
        return f"{'icmp' if self.version == 4 else 'icmpv6'} type destination-unreachable"


class AnsweredFrom(Struct, frozen=True):
    """Packets of a flow, or ICMP errors about one, whose other side is at `port`, wherever it was sent to."""

    port: int

    def __str__(self) -> str:
        return f"ct reply proto-src {self.port}"


Match = To | Udp | Tcp | TcpFrom | Reply | Unreachable | AnsweredFrom


class Accept(Struct, frozen=True):
    """Let it pass."""

    def __str__(self) -> str:
        return "accept"


class Redirect(Struct, frozen=True):
    """Deliver it to `port` on the loopback address; the original destination stays readable on the connection."""

    port: int

    def __str__(self) -> str:
        return f"redirect to :{self.port}"


class Refuse(Struct, frozen=True):
    """Fail the sender's call at once."""

    def __str__(self) -> str:
        return "reject with icmpx admin-prohibited"


class Drop(Struct, frozen=True):
    """Let nobody hear of it."""

    def __str__(self) -> str:
        return "drop"


class Untrack(Struct, frozen=True):
    """Let it pass by the tracking of connections, which costs time with every packet."""

    def __str__(self) -> str:
        return "notrack"


Verdict = Accept | Redirect | Refuse | Drop | Untrack


class Rule(Struct, frozen=True):
    """What happens to packets that fit all of `matches`."""

    matches: tuple[Match, ...]
    verdict: Verdict

    def __str__(self) -> str:
        return " ".join(map(str, (*self.matches, self.verdict)))


class Chain(Struct, frozen=True):
    """Rules at a hook of the kernel, tried in order; what no rule decides passes."""

    name: str
    type: str
    hook: str
    priority: int
    rules: tuple[Rule, ...]


class Table(Struct, frozen=True):
    """One nftables table of family `inet`: both IP versions."""

    name: str
    chains: tuple[Chain, ...]


_LOOPBACK = (To(IPv4Network("127.0.0.0/8")), To(IPv6Network("::1/128")))


def workload_rules(outbound_port: int = OUTBOUND_PORT, dns_port: int = DNS_PORT, resolver: str = RESOLVER) -> Table:
    """The rules of a workload's namespace."""
    to_resolver = To(IPv4Network(resolver))
    redirects = (
        Rule((to_resolver, Udp(53)), Redirect(dns_port)),
        Rule((to_resolver, Tcp(53)), Redirect(dns_port)),
        *(Rule((loopback,), Accept()) for loopback in _LOOPBACK),
        Rule((Udp(53),), Redirect(dns_port)),
        Rule((Tcp(53),), Redirect(dns_port)),
        Rule((Tcp(),), Redirect(outbound_port)),
    )
    limits = (
        # First what there is most of.
        Rule((Tcp(),), Accept()),
        # While the agent is away nobody listens there. An application that heard so would fail at once; this way it
        # asks again, and the next agent answers.
        *(Rule((Unreachable(version), AnsweredFrom(dns_port)), Drop()) for version in (4, 6)),
        *(Rule((loopback,), Accept()) for loopback in _LOOPBACK),
        Rule((Reply(),), Accept()),
        Rule((Unreachable(4),), Accept()),
        Rule((Unreachable(6),), Accept()),
        Rule((), Refuse()),
    )
    # Between proxy and application nothing is translated. What was redirected has to be known as such, in both
    # directions: it comes from or goes to the resolver's address or one of the two ports.
    shortcuts = (
        Rule((to_resolver,), Accept()),
        *(Rule((match(port),), Accept()) for port in (outbound_port, dns_port) for match in (Tcp, TcpFrom)),
        *(Rule((loopback, Tcp()), Untrack()) for loopback in _LOOPBACK),
    )
    return Table(
        "tulle",
        (
            # -100 is where the kernel translates destinations ("dstnat"): before the filter, which then sees loopback.
            Chain("redirect", "nat", "output", -100, redirects),
            Chain("refuse", "filter", "output", 0, limits),
            # -300 ("raw") is before the tracking of connections.
            Chain("untracked", "filter", "output", -300, shortcuts),
        ),
    )
