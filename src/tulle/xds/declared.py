"""Declares the messages of Envoy 1.40 that the `xds-protos` package does not have yet.

Only the fields that Tulle sets, with the numbers of Envoy's own API. Delete each when the package brings it.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_FIELD = descriptor_pb2.FieldDescriptorProto
_TLS = "envoy.extensions.transport_sockets.tls"


def _declare(
    package: str, name: str, imports: tuple[str, ...], fields: tuple[descriptor_pb2.FieldDescriptorProto, ...]
) -> type[Message]:
    """The class of message `name` in `package`."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"tulle/declared/{package}.proto", package=package, syntax="proto3", dependency=imports
    )
    file.message_type.add(name=name, field=fields)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


OnDemandSecret = _declare(
    f"{_TLS}.cert_selectors.on_demand_secret.v3",
    "Config",
    ("envoy/config/core/v3/config_source.proto", "envoy/config/core/v3/extension.proto"),
    (
        _FIELD(
            name="config_source",
            number=1,
            label=_FIELD.LABEL_OPTIONAL,
            type=_FIELD.TYPE_MESSAGE,
            type_name=".envoy.config.core.v3.ConfigSource",
        ),
        _FIELD(
            name="certificate_mapper",
            number=2,
            label=_FIELD.LABEL_OPTIONAL,
            type=_FIELD.TYPE_MESSAGE,
            type_name=".envoy.config.core.v3.TypedExtensionConfig",
        ),
        _FIELD(name="prefetch_secret_names", number=3, label=_FIELD.LABEL_REPEATED, type=_FIELD.TYPE_STRING),
    ),
)
"""Chooses the certificate of each connection by name."""

FilterStateOverride = _declare(
    f"{_TLS}.cert_mappers.filter_state_override.v3",
    "Config",
    (),
    (_FIELD(name="default_value", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING),),
)
"""Names the certificate by filter state of the downstream connection, or `default_value`."""

StaticName = _declare(
    f"{_TLS}.cert_mappers.static_name.v3",
    "StaticName",
    (),
    (_FIELD(name="name", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING),),
)
"""Names the same certificate for every connection."""

# The names of the extensions that take these messages.
ON_DEMAND = "envoy.tls.certificate_selectors.on_demand_secret"
BY_FILTER_STATE = "envoy.tls.upstream_certificate_mappers.filter_state_override"
BY_NAME = "envoy.tls.certificate_mappers.static_name"
