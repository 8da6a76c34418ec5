"""Namespace: a scope for names, and a default for the workloads in it. Source: Kubernetes core v1."""

from typing import ClassVar, Literal

from tulle.model.part import Part
from tulle.model.resource import ResourceBase


class NamespaceSpec(Part, frozen=True):
    finalizers: tuple[str, ...] = ()


class Namespace(ResourceBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "v1"

    api_version: Literal["v1"] = "v1"
    spec: NamespaceSpec = NamespaceSpec()
