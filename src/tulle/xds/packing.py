"""Wraps messages the way Envoy's extension points take them, deterministically."""

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from tulle.xds.type_urls import PREFIX


def packed(message: Message) -> AnyMessage:
    return AnyMessage(
        type_url=PREFIX + message.DESCRIPTOR.full_name, value=message.SerializeToString(deterministic=True)
    )


def extension(name: str, message: Message) -> TypedExtensionConfig:
    return TypedExtensionConfig(name=name, typed_config=packed(message))


def transport_socket(name: str, message: Message) -> TransportSocket:
    return TransportSocket(name=name, typed_config=packed(message))
