"""Says where Envoy fetches things: always over the one delta stream that it has with its agent."""

from datetime import timedelta

from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource

WAIT_FOR_EVER = timedelta(0)


def ads(initial_fetch_timeout: timedelta = WAIT_FOR_EVER) -> ConfigSource:
    """The stream. What is fetched at start is waited for, so that no proxy opens half configured, unless a limit is
    given.

    Secrets must all be asked for without one: of two sources for one secret that differ in anything Envoy feeds only
    the first (envoyproxy/envoy#47309).
    """
    return ConfigSource(
        ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3, initial_fetch_timeout=initial_fetch_timeout
    )
