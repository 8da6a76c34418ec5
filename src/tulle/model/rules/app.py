"""Rules for apps."""

import re
from collections.abc import Iterator

from tulle.model.app import AppSpec, Probe, ResourceAmounts
from tulle.model.problem import Problem
from tulle.model.rules.metadata import mode_problems
from tulle.model.rules.unique import repeated
from tulle.model.tree import below

_QUANTITY = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
_CHECKS = ("httpGet", "tcpSocket", "grpc", "exec")


def app_problems(spec: AppSpec) -> Iterator[Problem]:
    if not spec.command or not spec.command[0]:
        hint = "command: [python, -m, http.server]"
        yield Problem("spec.command", "`command` is missing: an app needs a program to run", hint)
    yield from repeated((variable.name for variable in spec.env), "spec.env", "name")
    yield from repeated((port.name for port in spec.ports), "spec.ports", "name")
    yield from repeated((f"{port.port}/{port.protocol}" for port in spec.ports), "spec.ports", "port")
    yield from mode_problems(spec.labels, "spec.labels")
    yield from _nul_problems(spec)
    yield from _amount_problems(spec.resources.requests, "spec.resources.requests")
    yield from _amount_problems(spec.resources.limits, "spec.resources.limits")
    names = frozenset(port.name for port in spec.ports if port.name)
    for field, probe in (
        ("livenessProbe", spec.liveness_probe),
        ("readinessProbe", spec.readiness_probe),
        ("startupProbe", spec.startup_probe),
    ):
        if probe:
            yield from _probe_problems(probe, names, f"spec.{field}")
            if field != "readinessProbe" and probe.success_threshold != 1:
                yield Problem(f"spec.{field}.successThreshold", f"must be 1 in a {field}", "remove it")


def _nul_problems(spec: AppSpec) -> Iterator[Problem]:
    """No operating system passes on a text with a NUL."""
    for field, texts in (
        ("command", spec.command),
        ("args", spec.args),
        ("env", tuple(variable.value for variable in spec.env)),
        ("workingDir", (spec.working_dir,)),
    ):
        if any("\0" in text for text in texts):
            yield Problem(f"spec.{field}", "has a NUL character, which no program can be given")


def _probe_problems(probe: Probe, names: frozenset[str], at: str) -> Iterator[Problem]:
    checks = (probe.http_get, probe.tcp_socket, probe.grpc, probe.exec)
    given = [field for field, check in zip(_CHECKS, checks, strict=True) if check is not None]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "has no check"
        yield Problem(at, f"{what}; exactly one must be there", f"one of {', '.join(_CHECKS)}")
    for field, check in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket), ("grpc", probe.grpc)):
        if check and isinstance(check.port, str) and check.port not in names:
            hint = (
                f"ports with names: {', '.join(sorted(names))}"
                if names
                else "name a port in spec.ports, or write its number"
            )
            yield Problem(f"{at}.{field}.port", f"the app has no port named `{check.port}`", hint)
    if probe.http_get and not probe.http_get.path.startswith("/"):
        path = probe.http_get.path
        yield Problem(f"{at}.httpGet.path", f'must start with "/"; "{path}" does not', f"write /{path}")


def _amount_problems(amounts: ResourceAmounts, at: str) -> Iterator[Problem]:
    for field, value in (("cpu", amounts.cpu), ("memory", amounts.memory)):
        if value != "" and not _QUANTITY.fullmatch(str(value)):
            yield Problem(below(at, field), f'"{value}" is no quantity', "write it like 500m or 128Mi")
