from tulle.model.app import App, AppSpec
from tulle.model.mesh import Mesh
from tulle.model.metadata import Metadata
from tulle.model.names import ObjectRef
from tulle.model.service import Service


def test_a_namespaced_resource_has_a_namespace() -> None:
    assert Service(metadata=Metadata("a")).ref == ObjectRef("v1", "Service", "default", "a")
    assert Service(metadata=Metadata("a", namespace="b")).metadata.namespace == "b"


def test_a_cluster_scoped_resource_has_none() -> None:
    assert Mesh(metadata=Metadata("default")).ref == ObjectRef("tulle.dev/v1alpha1", "Mesh", "", "default")


def test_workloads_are_labelled_with_their_app() -> None:
    assert App(metadata=Metadata("a"), spec=AppSpec()).workload_labels == {"app": "a"}
    labels = {"app": "b", "tier": "c"}
    assert App(metadata=Metadata("a"), spec=AppSpec(labels=labels)).workload_labels == labels
