"""Workloads in network namespaces of their own: the only way in and out is their proxy."""

from tulle.agent.capture.dns import DnsLimits, DnsSockets, Resolver, bind_dns, serve_dns
from tulle.agent.capture.dns_upstream import Upstream
from tulle.agent.capture.gateway import GatewayLimits, bind_gateway, serve_gateway
from tulle.agent.capture.launch import Launch, RunAs
from tulle.agent.capture.namespace import Namespaces, bind_tcp, bind_udp, dial, in_namespace
from tulle.agent.capture.process import Launched, LaunchError, become, read_record, resolv_conf, start, terminate
from tulle.agent.capture.publish import Target, bind_published, publish
from tulle.agent.capture.rootless import detect, enter, is_inside, join
from tulle.agent.capture.rules import DNS_PORT, OUTBOUND_PORT, RESOLVER, workload_rules

__all__ = [
    "DNS_PORT",
    "DnsLimits",
    "DnsSockets",
    "GatewayLimits",
    "Launch",
    "LaunchError",
    "Launched",
    "Namespaces",
    "OUTBOUND_PORT",
    "RESOLVER",
    "Resolver",
    "RunAs",
    "Target",
    "Upstream",
    "become",
    "bind_dns",
    "bind_gateway",
    "bind_published",
    "bind_tcp",
    "bind_udp",
    "detect",
    "dial",
    "enter",
    "in_namespace",
    "is_inside",
    "join",
    "publish",
    "read_record",
    "resolv_conf",
    "serve_dns",
    "serve_gateway",
    "start",
    "terminate",
    "workload_rules",
]
