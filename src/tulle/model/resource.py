"""What all resources are: apiVersion, kind, metadata, and a reference that names them.

Attributes have the standard's names in snake case. An absent text is "", an absent number or part None; a resource of
a namespaced kind always has its namespace.
"""

from typing import ClassVar

from msgspec.structs import force_setattr, replace

from tulle.model.metadata import Metadata
from tulle.model.names import ObjectRef
from tulle.model.part import Part

DEFAULT_NAMESPACE = "default"


class ResourceBase(Part, frozen=True, kw_only=True, omit_defaults=False, tag_field="kind", tag=True):
    """The base of all kinds. `kind` in JSON is the name of the class."""

    API_VERSION: ClassVar[str]

    metadata: Metadata

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.API_VERSION, self.kind, self.metadata.namespace, self.metadata.name)


class NamespacedBase(ResourceBase, frozen=True, kw_only=True, omit_defaults=False):
    """The base of kinds whose objects live in a namespace."""

    def __post_init__(self) -> None:
        if not self.metadata.namespace:
            force_setattr(self, "metadata", replace(self.metadata, namespace=DEFAULT_NAMESPACE))
