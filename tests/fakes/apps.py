"""An application as a node is told to run it, for tests to vary with `replace`."""

from tulle.view.types import AppView

WEB = AppView(
    namespace="shop",
    name="web",
    service_account="web",
    replicas=1,
    command=("web",),
    env={},
    working_dir="",
    run_as="",
    ports=(("http", 8080),),
    labels={"app": "web"},
    mode="sidecar",
    restart="Always",
)
