"""Random questions about the random meshes of `tests.fakes.mesh`."""

from hypothesis import strategies as st
from tests.fakes.mesh import names, namespaces

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName, WorkloadPort

ports = st.sampled_from([8080, 9000])
service_ports = st.builds(ServicePort, st.builds(ServiceName, namespaces, names), ports)
workload_names = st.builds(WorkloadName, namespaces, names)
addresses = st.sampled_from(["240.240.0.1:8080", "240.240.0.1:9000", "240.244.0.1:9000", "240.244.0.1:8080"])
authorities = st.sampled_from(["a", "a:8080", "b.shop:8080", "c.bank.svc.cluster.local", "240.240.0.1:8080", "x"])
proxies = st.builds(ProxyId, st.sampled_from(["n1", "n2"]), st.none() | workload_names)
keys: st.SearchStrategy[Key] = st.one_of(
    st.builds(ListenerKey, workload_names, st.sampled_from(["inbound", "outbound"])),
    st.builds(RouteConfigKey, namespaces),
    st.builds(VirtualHostKey, namespaces, authorities),
    st.builds(ClusterKey, service_ports),
    st.builds(TcpClusterKey, namespaces, addresses),
    st.builds(LocalClusterKey, st.builds(WorkloadPort, workload_names, ports)),
    st.builds(PassthroughClusterKey),
    st.builds(IdentitiesClusterKey, proxies.map(str)),
    st.builds(EndpointsKey, service_ports),
    st.builds(TcpEndpointsKey, namespaces, addresses),
    st.builds(NodeKey, st.sampled_from(["n1", "n2"])),
    st.builds(NameKey, namespaces, st.sampled_from(["a", "b.shop", "c.bank.svc", "x.y.z"])),
)
