"""Says as whom a captured connection calls: the workload's SPIFFE ID travels with it to the upstream's TLS."""

from typing import Final

from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue

from tulle.model.names import SpiffeId

_KEY: Final = "envoy.tls.certificate_mappers.on_demand_secret"
# Hashable, so that it is part of the key of connection pools: with envoy.string two workloads of one proxy would
# share a pool, and one would be seen as the other.
_FACTORY: Final = "envoy.hashable_string"


def caller(identity: SpiffeId) -> FilterStateValue:
    value = FilterStateValue(object_key=_KEY, factory_key=_FACTORY, shared_with_upstream=FilterStateValue.ONCE)
    value.format_string.text_format_source.inline_string = str(identity)
    return value
