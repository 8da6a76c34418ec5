"""Turns views into Envoy's configuration: `translate(view)` gives bytes, `name_of` and `key_of` the names."""

from tulle.xds.names import PLACEHOLDER_AUTHORITY, TRUST_BUNDLE, key_of, name_of
from tulle.xds.resource import Resource
from tulle.xds.translate import translate

__all__ = ["PLACEHOLDER_AUTHORITY", "TRUST_BUNDLE", "Resource", "key_of", "name_of", "translate"]
