"""Says what a mesh that has just started offers: its services and how to call them, and commands to try."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tulle.model.app import App
from tulle.model.kinds import Resource
from tulle.model.snapshot import Snapshot

TRY = "tulle.dev/try"
"""An annotation with commands, one a line, that a reader of the files may want to paste."""

SERVICE_HEADERS = ("NAMESPACE", "SERVICE", "PORT", "ADDRESS", "WORKLOADS", "CALL IT")


def service_rows(snapshot: Snapshot) -> list[tuple[str, ...]]:
    """A row of a table for each port of each service."""
    rows: list[tuple[str, ...]] = []
    for name, service in sorted(snapshot.services.items()):
        count = str(len(snapshot.members.get(name, ())))
        for port in service.ports:
            scheme = "http://" if port.protocol == "http" else ""
            url = f"{scheme}{name.name}:{port.port}"
            rows.append((name.namespace, name.name, f"{port.port}/{port.protocol}", service.addresses[0], count, url))
    return rows


def to_try(resources: Sequence[Resource], snapshot: Snapshot) -> list[str]:
    """Commands to paste: those that the files suggest, else a call of one service by one App."""
    suggested = [r.metadata.annotations.get(TRY, "") for r in resources]
    commands = [line.strip() for text in suggested for line in text.splitlines() if line.strip()]
    app = next((r.metadata for r in resources if isinstance(r, App)), None)
    if not commands and app is not None:
        http = [(n, p.port) for n, s in sorted(snapshot.services.items()) for p in s.ports if p.protocol == "http"]
        commands = [f"tulle exec -n {app.namespace} {app.name} -- curl -s http://{n}:{p}/" for n, p in http[:1]]
    return [_by_path(command) for command in commands]


def _by_path(command: str) -> str:
    """The command as this shell can run it: with the path of this program where it is not on the PATH."""
    found, own = shutil.which("tulle"), Path(sys.argv[0]).resolve()
    if found is not None and Path(found).resolve() == own:
        return command
    return re.sub(r"\btulle (?=exec|get|describe|status|apply|delete)", f"{os.path.relpath(own)} ", command)
