"""Metadata: what names and labels a resource. Source: Kubernetes' ObjectMeta, as far as users write it."""

from collections.abc import Mapping

from tulle.model.part import Part
from tulle.model.syntax import DnsLabel, DnsSubdomain, LabelKey, LabelValue


class Metadata(Part, frozen=True):
    """`resource_version`, `uid`, `creation_timestamp` (RFC 3339) and `generation` are the server's; they are accepted
    so that what was read can be applied again."""

    name: DnsSubdomain
    namespace: DnsLabel = ""
    labels: Mapping[LabelKey, LabelValue] = {}
    annotations: Mapping[LabelKey, str] = {}
    resource_version: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    generation: int = 0
