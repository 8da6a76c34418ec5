"""Gives each view its file: the whole of what turns our words into Envoy's.

The view is the only argument, so that equal views give equal bytes and no cache can forget an input.
"""

from typing import assert_never

import msgspec

from tulle.model.keys import NameKey, NodeKey
from tulle.view.types import (
    ClusterView,
    EndpointsView,
    IdentitiesClusterView,
    InboundListenerView,
    LocalClusterView,
    NameView,
    NodeView,
    OutboundListenerView,
    PassthroughClusterView,
    RouteConfigView,
    View,
    VirtualHostView,
)
from tulle.xds import cluster, listener
from tulle.xds.endpoints import endpoints
from tulle.xds.names import name_of
from tulle.xds.resource import Resource, resource
from tulle.xds.route_config import route_config
from tulle.xds.virtual_host import virtual_host


def translate(view: View) -> Resource:
    """The resource that a view describes. Pure; equal views give equal bytes."""
    match view:
        case OutboundListenerView():
            return listener.outbound(view)
        case InboundListenerView():
            return listener.inbound(view)
        case RouteConfigView():
            return route_config(view)
        case VirtualHostView():
            return virtual_host(view)
        case ClusterView():
            return cluster.service(view)
        case LocalClusterView():
            return cluster.local(view)
        case PassthroughClusterView():
            return cluster.passthrough(view)
        case IdentitiesClusterView():
            return cluster.identities(view)
        case EndpointsView():
            return endpoints(view)
        case NodeView():
            return _for_agents(NodeKey(view.node), view)
        case NameView():
            return _for_agents(view.key, view)
        case _:
            assert_never(view)


def _for_agents(key: NodeKey | NameKey, view: NodeView | NameView) -> Resource:
    """What agents read themselves is JSON of the view."""
    type_url, name = name_of(key)
    return resource(type_url, name, msgspec.json.encode(view, order="deterministic"))
