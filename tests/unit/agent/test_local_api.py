"""Commands of the agent's own user are answered in one line, whatever they send; others are not."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.fakes.records import WEB_1

from tulle.agent.host import Admission, NotAdmitted
from tulle.agent.local_api import LocalApi
from tulle.agent.local_messages import MAX_REQUEST, Answer, Enter, Entrance, Failed, Join, Request
from tulle.agent.pidfd import ProcessIdentity
from tulle.agent.roster import Record, Roster
from tulle.model.names import WorkloadName

WEB_2 = replace(WEB_1, name=WorkloadName("shop", "web-2"), network="/ns/web-2", state="Ready")
JOIN = Join("shop", "cart", "cart", "sidecar", (("http", 8080),), {"app": "cart"})


class FakeJoined:
    """Admits all that it is asked to, unless there is a `refusal`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Admission, ProcessIdentity]] = []
        self.refusal = ""

    async def admit(self, admission: Admission, process: ProcessIdentity) -> Record:
        self.asked.append((admission, process))
        if self.refusal:
            raise NotAdmitted(self.refusal)
        return replace(WEB_1, name=admission.name, network="/ns/cart")


class Agent:
    """A local API on a socket."""

    def __init__(self, directory: Path) -> None:
        self.roster = Roster(directory / "workloads.json")
        self.joined = FakeJoined()
        self.socket = directory / "agent.sock"
        self.api = LocalApi(self.roster, self.joined, Path("/run/tulle"), (Path("/state"),), lambda: "mesh.test")

    async def ask(self, request: Request) -> Answer:
        return await self.send(msgspec.json.encode(request) + b"\n")

    async def send(self, line: bytes) -> Answer:
        answer = await self.send_raw(line)
        return msgspec.json.decode(answer, type=Entrance | Failed)

    async def send_raw(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(line)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where other users may go."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
async def agent(directory: Path) -> AsyncIterator[Agent]:
    agent = Agent(directory)
    serving = asyncio.create_task(agent.api.serve(agent.socket))
    while not agent.socket.exists():
        await asyncio.sleep(0)
    yield agent
    serving.cancel()
    await asyncio.wait({serving})


async def test_a_workload_is_entered_by_its_name_or_its_apps(agent: Agent) -> None:
    agent.roster.put(WEB_1)
    answer = await agent.ask(Enter("shop", "web-1"))
    assert answer == Entrance("web-1", "shop", WEB_1.network, "/run/tulle", ("/state",), os.getpid(), "mesh.test")
    assert await agent.ask(Enter("shop", "web")) == answer


async def test_of_several_replicas_a_ready_one_is_entered(agent: Agent) -> None:
    agent.roster.put(WEB_1)
    agent.roster.put(WEB_2)
    answer = await agent.ask(Enter("shop", "web"))
    assert isinstance(answer, Entrance)
    assert answer.workload == "web-2"


async def test_an_unknown_name_is_answered_with_those_that_are_there(agent: Agent) -> None:
    agent.roster.put(WEB_1)
    agent.roster.put(WEB_2)
    agent.roster.put(replace(WEB_1, name=WorkloadName("shop", "joined-1"), app=""))
    assert await agent.ask(Enter("shop", "cart")) == Failed(
        "no workload cart in namespace shop runs on this node", "there are: joined-1, web"
    )
    assert await agent.ask(Enter("bank", "web")) == Failed(
        "no workload web in namespace bank runs on this node", "see `tulle get workloads -A`"
    )


async def test_the_asking_process_joins(agent: Agent) -> None:
    assert await agent.ask(JOIN) == Entrance(
        "cart", "shop", "/ns/cart", "/run/tulle", ("/state",), os.getpid(), "mesh.test"
    )
    ((admission, process),) = agent.joined.asked
    assert admission == Admission(WorkloadName("shop", "cart"), "cart", "sidecar", {"app": "cart"}, (("http", 8080),))
    assert process.pid == os.getpid()


async def test_a_name_is_given_once(agent: Agent) -> None:
    agent.roster.put(WEB_1)
    answer = await agent.ask(replace(JOIN, name="web-1"))
    assert answer == Failed("there is a workload web-1.shop already", "give this one another --name")


async def test_who_is_not_admitted_hears_why(agent: Agent) -> None:
    agent.joined.refusal = "it has no certificate"
    assert await agent.ask(JOIN) == Failed("it has no certificate")


@pytest.mark.parametrize(
    ("join", "named"),
    [
        (replace(JOIN, name="../../etc"), "metadata.name"),
        (replace(JOIN, name="Web"), "metadata.name"),
        (replace(JOIN, name=""), "metadata.name"),
        (replace(JOIN, name="a.b"), "metadata.name"),
        (replace(JOIN, name="x" * 64), "metadata.name"),
        (replace(JOIN, namespace="/"), "metadata.namespace"),
        (replace(JOIN, service_account="a/b"), "spec.serviceAccount"),
        (replace(JOIN, labels={"a b": "c"}), "metadata.labels"),
        (replace(JOIN, labels={"a": "c d"}), "metadata.labels"),
        (replace(JOIN, ports=(("http", 0),)), "spec.ports"),
        (replace(JOIN, ports=(("http", 80), ("http", 81))), "spec.ports"),
        (replace(JOIN, ports=(("", 80), ("b", 80))), "spec.ports"),
    ],
)
async def test_what_no_control_plane_would_take_does_not_join(agent: Agent, join: Join, named: str) -> None:
    answer = await agent.ask(join)
    assert isinstance(answer, Failed)
    assert named in answer.message
    assert agent.joined.asked == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello\n",
        b"\xff\xfe\n",
        b"null\n",
        b'{"type":"Leave"}\n',
        b'{"type":"Enter","namespace":"shop"}\n',
        b'{"type":"Enter","namespace":1,"name":"web"}\n',
        b'{"type":"Join","namespace":"shop","name":"a","service_account":"a","mode":"other"}\n',
        b'{"type":"Enter","x":' + b"[" * 20000 + b"]" * 20000 + b"}\n",
    ],
)
async def test_what_is_not_understood_is_answered_so(agent: Agent, line: bytes) -> None:
    answer = await agent.send(line)
    assert isinstance(answer, Failed)
    assert answer.message.startswith("the request is not understood")


async def test_a_line_that_is_too_long_ends_the_connection_and_no_other(agent: Agent) -> None:
    assert await agent.send_raw(b"x" * (MAX_REQUEST + 2) + b"\n") == b""
    agent.roster.put(WEB_1)
    assert isinstance(await agent.ask(Enter("shop", "web")), Entrance)


async def test_who_hangs_up_disturbs_nobody(agent: Agent) -> None:
    for _ in range(3):
        _, writer = await asyncio.open_unix_connection(str(agent.socket))
        writer.write(b'{"type":')
        writer.transport.abort()
    agent.roster.put(WEB_1)
    assert isinstance(await agent.ask(Enter("shop", "web")), Entrance)


async def test_the_socket_is_its_users_and_replaces_an_old_one(agent: Agent) -> None:
    assert agent.socket.stat().st_mode & 0o777 == 0o600
    other = asyncio.create_task(agent.api.serve(agent.socket))
    await asyncio.sleep(0.01)
    agent.roster.put(WEB_1)
    assert isinstance(await agent.ask(Enter("shop", "web")), Entrance)
    other.cancel()
    await asyncio.wait({other})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_is_not_answered_even_where_the_file_lets_it_in(agent: Agent) -> None:
    agent.socket.chmod(0o666)
    agent.roster.put(WEB_1)
    connection = socket.socket(socket.AF_UNIX)
    os.seteuid(65534)
    try:
        connection.connect(str(agent.socket))
    finally:
        os.seteuid(0)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    writer.write(msgspec.json.encode(Enter("shop", "web")) + b"\n")
    answer = msgspec.json.decode(await asyncio.wait_for(reader.readline(), 20), type=Entrance | Failed)
    writer.close()
    assert answer == Failed("the agent is another user's")
