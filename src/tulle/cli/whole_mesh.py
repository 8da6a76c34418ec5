"""A control plane and an agent in one process, with the resources of some files: what `tulle up` runs."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from tulle.agent.app import Agent, AgentSettings, Published
from tulle.agent.credentials import Credentials
from tulle.agent.roster import Record
from tulle.api.paths import RunPaths
from tulle.cli.introduction import SERVICE_HEADERS, service_rows, to_try
from tulle.cli.output import say, table, warn
from tulle.control.app import ControlPlane, ControlSettings
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import parse_token
from tulle.model.app import App
from tulle.model.kinds import Resource
from tulle.model.mesh import MESH_NAME, Mesh
from tulle.model.metadata import Metadata
from tulle.model.mode import Mode
from tulle.model.names import AppName
from tulle.model.parse import encode_json
from tulle.model.snapshot import Snapshot
from tulle.store.protocol import Put

NODE = "local"
LOOPBACK = "127.0.0.1"
TOKEN_LIFETIME = timedelta(minutes=5)
WATCH_EVERY = 0.2


class UpSettings(Struct, frozen=True):
    """`mode` None: what the files say. Times in seconds; `limit` None: until stopped. `invoker`: see AgentSettings."""

    paths: RunPaths
    rootless: bool
    resources: tuple[Resource, ...]
    mode: Mode | None
    published: tuple[Published, ...]
    environment: Mapping[str, str]
    ready_within: float
    limit: float | None
    invoker: int = 0


class WholeMesh:
    """`run` starts everything, tells the user, and stops everything."""

    def __init__(self, settings: UpSettings) -> None:
        self._settings = settings
        # Apart from what a control plane or an agent of this host keeps.
        self._paths = replace(settings.paths, state_dir=settings.paths.state_dir / "up")
        self._resources = with_defaults(settings.resources, settings.mode)
        self._apps = tuple(r for r in self._resources if isinstance(r, App))
        self._console = Console(stderr=True)
        self._told: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> int:
        """Returns the exit code: 0 if all applications became ready and were so until the end."""
        control = self._control_plane()
        started = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(control.serve(started), name="control plane")
            await started.wait()
            await control.backend.store.write([Put(r.ref, encode_json(r)) for r in self._resources])
            agent = Agent(self._agent_settings(), await self._credentials(control))
            ending = asyncio.Event()
            running = tasks.create_task(agent.run(asyncio.Event(), ending), name="agent")
            try:
                return await self._attend(agent, control, stopping)
            finally:
                ending.set()
                await asyncio.wait({running})
                serving.cancel()

    async def _attend(self, agent: Agent, control: ControlPlane, stopping: asyncio.Event) -> int:
        if not await self._all_ready(agent, stopping):
            return 1
        self._introduce(control.refresh.snapshot)
        healthy = await self._stays_healthy(agent, stopping)
        return 0 if healthy else 1

    async def _all_ready(self, agent: Agent, stopping: asyncio.Event) -> bool:
        """Shows progress until all replicas are ready. False: stopped, or not within the time for it."""
        wanted = sum(app.spec.replicas for app in self._apps)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task("starting", total=wanted)
            try:
                async with asyncio.timeout(self._settings.ready_within):
                    while missing := not_ready(self._apps, agent.roster.records()):
                        if await _within(stopping, WATCH_EVERY):
                            return False
                        self._tell_why(agent.roster.records())
                        progress.update(bar, completed=wanted - len(missing), description=_described(missing))
            except TimeoutError:
                warn(f"not ready after {self._settings.ready_within:.0f} s: {', '.join(missing)}")
                warn(f"logs: {self._settings.paths.state_dir / 'up.log'} and {self._paths.log_dir}")
                return False
        return True

    async def _stays_healthy(self, agent: Agent, stopping: asyncio.Event) -> bool:
        """Until stopped or the time is up; whether all replicas were ready all the time."""
        healthy = True
        loop = asyncio.get_running_loop()
        end = None if self._settings.limit is None else loop.time() + self._settings.limit
        while end is None or loop.time() < end:
            if await _within(stopping, WATCH_EVERY):
                break
            # What the user has taken away since is not missed.
            apps = agent.feed.view.apps if agent.feed.view else ()
            missing = not_ready(
                self._apps, agent.roster.records(), {AppName(a.namespace, a.name): a.replicas for a in apps}
            )
            self._tell_why(agent.roster.records())
            if missing and healthy:
                warn(f"no longer ready: {', '.join(missing)}; logs are in {self._paths.log_dir}")
            healthy = healthy and not missing
        return healthy

    def _tell_why(self, records: Sequence[Record]) -> None:
        """Each reason why an App is not ready, once."""
        for reason in dict.fromkeys(f"{record.app}: {record.message}" for record in records if record.message):
            if reason not in self._told:
                self._told.add(reason)
                warn(reason)

    def _introduce(self, snapshot: Snapshot) -> None:
        """One table of services, and how to call them."""
        if rows := service_rows(snapshot):
            table(SERVICE_HEADERS, rows)
        else:
            say("no service is declared yet")
        say("")
        for published in self._settings.published:
            say(f"http://{LOOPBACK}:{published.host_port} is {published.app} on this host")
        for command in to_try(self._resources, snapshot):
            say(f"try: {command}")
        say("Ctrl-C stops everything" if self._settings.limit is None else f"ends after {self._settings.limit:g} s")

    def _control_plane(self) -> ControlPlane:
        mesh = next(r for r in self._resources if isinstance(r, Mesh))
        # What files declare is the truth of `tulle up`: nothing of an earlier run may be left in the store.
        return ControlPlane(
            ControlSettings(
                trust_domain=mesh.spec.trust_domain,
                state_dir=self._paths.control_dir,
                api_socket=self._paths.api_socket,
                xds_address=f"{LOOPBACK}:0",
                enrolment_address=f"{LOOPBACK}:0",
                store="memory:",
                default_node=NODE,
            )
        )

    def _agent_settings(self) -> AgentSettings:
        settings = self._settings
        mesh = next(r for r in self._resources if isinstance(r, Mesh))
        return AgentSettings(
            node=NODE,
            address=LOOPBACK,
            trust_domain=mesh.spec.trust_domain,
            paths=self._paths,
            rootless=settings.rootless,
            hidden=(settings.paths.state_dir,),
            environment=settings.environment,
            published=settings.published,
            fresh=True,
            invoker=settings.invoker,
        )

    async def _credentials(self, control: ControlPlane) -> Credentials:
        """The agent enrols like any other."""
        text = await control.backend.create_token(NODE, ("*/*",), TOKEN_LIFETIME)
        return await Credentials.obtain(
            NodeIdentity(control.settings.trust_domain, NODE),
            self._paths.agent_dir,
            f"{LOOPBACK}:{control.xds_port}",
            f"{LOOPBACK}:{control.enrolment_port}",
            lambda: parse_token(text),
        )


def with_defaults(resources: Sequence[Resource], mode: Mode | None) -> tuple[Resource, ...]:
    """The resources, and a Mesh in any case: the one that they have, in the mode that was asked for."""
    mesh = next((r for r in resources if isinstance(r, Mesh)), Mesh(metadata=Metadata(name=MESH_NAME)))
    if mode is not None:
        mesh = replace(mesh, spec=replace(mesh.spec, mode=mode))
    return (mesh, *(r for r in resources if not isinstance(r, Mesh)))


def not_ready(
    apps: Sequence[App], records: Sequence[Record], still_wanted: Mapping[AppName, int] | None = None
) -> list[str]:
    """The names of Apps, once for every replica that is not ready; of those that are still wanted, where it is said
    which these are."""
    ready = Counter(AppName(r.name.namespace, r.app) for r in records if r.state == "Ready")
    missing = []
    for app in apps:
        name = AppName(app.metadata.namespace, app.metadata.name)
        wanted = app.spec.replicas if still_wanted is None else min(app.spec.replicas, still_wanted.get(name, 0))
        missing += [name.name] * max(wanted - ready[name], 0)
    return missing


def _described(missing: Sequence[str]) -> str:
    return f"waiting for {', '.join(dict.fromkeys(missing))}" if missing else "ready"


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set within so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
