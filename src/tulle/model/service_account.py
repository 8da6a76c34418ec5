"""ServiceAccount: who a workload is; its name and namespace make the SPIFFE ID. Source: Kubernetes core v1."""

from typing import ClassVar, Literal

from tulle.model.part import Part
from tulle.model.resource import NamespacedBase


class SecretReference(Part, frozen=True):
    name: str = ""


class ServiceAccount(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "v1"

    api_version: Literal["v1"] = "v1"
    secrets: tuple[SecretReference, ...] = ()
    image_pull_secrets: tuple[SecretReference, ...] = ()
    automount_service_account_token: bool | None = None
