"""Joined bytes are the messages that protobuf itself would have written."""

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.encoding import delta_response, sotw_response
from tulle.xds.resource import resource
from tulle.xds.type_urls import CLUSTER


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_delta_response_reads_back(size: int) -> None:
    made = resource(CLUSTER, "a", b"x" * size, aliases=("b",))
    read = discovery_pb2.DeltaDiscoveryResponse.FromString(delta_response(CLUSTER, "n-1", [made], ["ä" * 100]))
    assert (read.type_url, read.nonce, list(read.removed_resources)) == (CLUSTER, "n-1", ["ä" * 100])
    (envelope,) = read.resources
    assert (envelope.name, envelope.version, list(envelope.aliases)) == ("a", made.version, ["b"])
    assert (envelope.resource.type_url, envelope.resource.value) == (CLUSTER, made.body)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_384])
def test_a_state_of_the_world_response_reads_back(size: int) -> None:
    made = resource(CLUSTER, "a", b"x" * size)
    read = discovery_pb2.DiscoveryResponse.FromString(sotw_response(CLUSTER, "n-1", "v1", [made, made]))
    assert (read.type_url, read.nonce, read.version_info) == (CLUSTER, "n-1", "v1")
    assert [(entry.type_url, entry.value) for entry in read.resources] == [(CLUSTER, made.body)] * 2
