"""A workload on an agent's roster, for tests to vary with `replace`."""

from tulle.agent.roster import Record
from tulle.model.names import WorkloadName

WEB_1 = Record(
    name=WorkloadName("shop", "web-1"),
    service_account="web",
    mode="sidecar",
    network="/run/tulle/ns/shop~web-1",
    address="10.0.0.1",
    mesh_port=15100,
    app="web",
    digest="d1",
    ports=(("http", 8080),),
    labels={"app": "web"},
)
