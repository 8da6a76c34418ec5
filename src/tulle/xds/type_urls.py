"""The xDS type URLs that Tulle serves, and the order in which a change to several of them is sent.

Source: Envoy's xDS protocol documentation, "Eventual consistency considerations" (make before break).
"""

PREFIX = "type.googleapis.com/"

CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE_CONFIG = PREFIX + "envoy.config.route.v3.RouteConfiguration"
VIRTUAL_HOST = PREFIX + "envoy.config.route.v3.VirtualHost"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"

# What an agent asks for itself, over the same protocol. The bodies are JSON of view.NodeView and view.NameView.
NODE = "type.tulle.dev/Node"
NAME = "type.tulle.dev/Name"

# Upserts go out in this order; removals in the reverse one, so that nothing refers to what is gone.
SEND_ORDER = (SECRET, CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, VIRTUAL_HOST, NODE, NAME)
