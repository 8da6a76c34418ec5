"""The instances behind a cluster, in groups that share the traffic by weight."""

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.core.v3.health_check_pb2 import DRAINING, HEALTHY
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from tulle.view.types import EndpointGroup, EndpointsView, EndpointView
from tulle.xds import type_urls
from tulle.xds.names import name_of
from tulle.xds.resource import Resource, resource


def endpoints(view: EndpointsView) -> Resource:
    _, name = name_of(view.key)
    groups = [_group(index, group) for index, group in enumerate(view.groups) if group.weight]
    assignment = ClusterLoadAssignment(cluster_name=name, endpoints=groups)
    return resource(type_urls.ENDPOINTS, name, assignment.SerializeToString(deterministic=True))


def _group(index: int, group: EndpointGroup) -> LocalityLbEndpoints:
    """Envoy calls such a group a locality, and merges those that do not differ in name."""
    return LocalityLbEndpoints(
        locality=Locality(sub_zone=str(index)),
        load_balancing_weight=UInt32Value(value=group.weight),
        lb_endpoints=[_instance(endpoint) for endpoint in group.endpoints if endpoint.weight],
    )


def _instance(view: EndpointView) -> LbEndpoint:
    """`hostname` is the server name that the client asks for."""
    address = Address(socket_address=SocketAddress(address=view.address, port_value=view.port))
    return LbEndpoint(
        endpoint=Endpoint(address=address, hostname=view.target.sni),
        health_status=DRAINING if view.draining else HEALTHY,
        load_balancing_weight=UInt32Value(value=view.weight) if view.weight != 1 else None,
    )
