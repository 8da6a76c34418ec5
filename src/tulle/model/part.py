"""Part: the base of what users declare: frozen, camelCase in text, unknown fields refused, defaults left out."""

from msgspec import Struct


class Part(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A resource or a part of one."""
