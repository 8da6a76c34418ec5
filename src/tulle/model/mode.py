"""How workloads are dealt out to proxies: one each (sidecar), or one for all of a node."""

from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["sidecar", "node"]

MODE_LABEL = "tulle.dev/mode"
"""On an App or its Namespace: overrides the mesh's mode."""
