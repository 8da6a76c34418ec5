"""Says what a resource holds as JSON, for people to read."""

from google.protobuf import descriptor_pool, json_format, message_factory

from tulle.xds import type_urls
from tulle.xds.resource import Resource


def body_json(resource: Resource) -> str:
    """The body of a compiled resource in one line; messages inside `Any` are shown as what they are."""
    if resource.type_url in (type_urls.NODE, type_urls.NAME):
        return resource.body.decode()
    descriptor = descriptor_pool.Default().FindMessageTypeByName(resource.type_url.removeprefix(type_urls.PREFIX))
    message = message_factory.GetMessageClass(descriptor).FromString(resource.body)
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
