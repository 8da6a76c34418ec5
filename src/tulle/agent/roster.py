"""The workloads of this node, as the agent knows them; kept on disk so that the next agent takes them over."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tulle.agent.pidfd import ProcessIdentity
from tulle.identity.private_file import write_private
from tulle.model.metadata import Metadata
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec, WorkloadState


class Record(Struct, frozen=True):
    """One workload. `app` is the name of the App it is a replica of, empty for a process that joined by itself
    (`process` is that one); `digest` says from which version of the App it was made, `message` why it is not ready."""

    name: WorkloadName
    service_account: str
    mode: Literal["sidecar", "node"]
    network: str
    address: str
    mesh_port: int
    host_gateway: str = ""
    app: str = ""
    digest: str = ""
    ports: tuple[tuple[str, int], ...] = ()
    labels: Mapping[str, str] = {}
    state: WorkloadState = "Starting"
    process: ProcessIdentity | None = None
    message: str = ""

    def workload(self, node: str) -> Workload:
        """The resource that the control plane is told of."""
        return Workload(
            metadata=Metadata(name=self.name.name, namespace=self.name.namespace, labels=self.labels),
            spec=WorkloadSpec(
                address=self.address,
                mesh_port=self.mesh_port,
                node=node,
                network=self.network,
                host_gateway=self.host_gateway,
                service_account=self.service_account,
                mode=self.mode,
                ports=tuple(WorkloadPortSpec(port, name) for name, port in self.ports),
                app=self.app,
                state=self.state,
                message=self.message,
            ),
        )

    def proxy(self, node: str) -> ProxyId:
        """The proxy that serves this workload."""
        return ProxyId(node, self.name) if self.mode == "sidecar" else ProxyId(node)

    def identity(self, trust_domain: str) -> SpiffeId:
        return SpiffeId(trust_domain, self.name.namespace, self.service_account)


class Roster:
    """All records. `version` grows with every change; `changed` waits for the next one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records: dict[WorkloadName, Record] = {}
        self._earlier: tuple[Record, ...] = ()
        self._waiters: list[asyncio.Event] = []
        self.version = 0

    def load(self) -> tuple[Record, ...]:
        """What the agent before wrote down. Nothing of it is on the roster until it is added again, but it stays
        written until `forget_earlier`: this agent may end before it has taken over all."""
        try:
            self._earlier = msgspec.json.decode(self._file.read_bytes(), type=tuple[Record, ...])
        except (FileNotFoundError, msgspec.MsgspecError):
            self._earlier = ()
        return self._earlier

    def forget_earlier(self) -> None:
        """What the agent before wrote down, and is not on the roster by now, is gone."""
        self._earlier = ()
        self._write()

    def records(self) -> tuple[Record, ...]:
        return tuple(self._records[name] for name in sorted(self._records))

    def get(self, name: WorkloadName) -> Record | None:
        return self._records.get(name)

    def put(self, record: Record) -> None:
        if self._records.get(record.name) != record:
            self._records[record.name] = record
            self._write()

    def set_state(self, name: WorkloadName, state: WorkloadState, message: str = "") -> None:
        """Notes how a workload is, and why it is not ready; one that has gone meanwhile is left alone."""
        record = self._records.get(name)
        if record is not None:
            self.put(replace(record, state=state, message=message))

    def remove(self, name: WorkloadName) -> None:
        if self._records.pop(name, None) is not None:
            self._write()

    def tell_again(self) -> None:
        """Counts as a change: whoever was told of the records may have forgotten them."""
        self.version += 1
        self._wake()

    async def changed(self, since: int) -> int:
        """Waits until `version` differs from `since`; returns it."""
        while self.version == since:
            waiter = asyncio.Event()
            self._waiters.append(waiter)
            await waiter.wait()
        return self.version

    def _write(self) -> None:
        self.version += 1
        written = {record.name: record for record in (*self._earlier, *self.records())}
        write_private(self._file, msgspec.json.encode(tuple(written.values())))
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set()
