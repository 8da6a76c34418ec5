"""Part: the base of what users declare: frozen, camelCase in text, unknown fields refused, defaults left out.

Frozen values are made of values that were there before, so they never form cycles. They say `gc=False`, here and
wherever there are many of them: the garbage collector has nothing to find there, and would stop the process to look.
"""

from msgspec import Struct


class Part(Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A resource or a part of one."""
