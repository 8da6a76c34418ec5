"""Commands that ask the agent of this host say what it says, and where there is none that there is none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes.local_agent import FakeAgent

from tulle.agent.local_messages import Enter, Entrance, Failed, Join
from tulle.cli.errors import Failure, Unreachable
from tulle.cli.local import ask_agent

Answering = Callable[[object], FakeAgent]

ENTRANCE = Entrance("web-1", "shop", "/run/tulle/ns/shop~web-1", "/run/tulle", ("/state",), 7, "mesh.test")
REFUSED = Failed("not here", "there are: web")


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    agents: list[FakeAgent] = []
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path))

    def start(answer: object) -> FakeAgent:
        line = answer if isinstance(answer, bytes) else msgspec.json.encode(answer) + b"\n"
        agents.append(FakeAgent(tmp_path / "agent.sock", line))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()


def test_the_answer_is_the_agents(answering: Answering, tmp_path: Path) -> None:
    agent = answering(ENTRANCE)
    assert ask_agent(tmp_path / "agent.sock", Enter("shop", "web")) == ENTRANCE
    assert msgspec.json.decode(agent.asked[0], type=Enter | Join) == Enter("shop", "web")


def test_without_an_agent_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"no agent answers at .*agent\.sock") as failure:
        ask_agent(tmp_path / "agent.sock", Enter("shop", "web"))
    assert "tulle up" in failure.value.hint


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"what?\n"])
def test_an_answer_that_makes_no_sense_is_a_failure(answering: Answering, tmp_path: Path, line: bytes) -> None:
    answering(line)
    with pytest.raises(Failure, match="its log says why"):
        ask_agent(tmp_path / "agent.sock", Enter("shop", "web"))


def test_exec_says_what_the_agent_says(answering: Answering, run) -> None:
    answering(REFUSED)
    result = run("exec", "-n", "shop", "web", "--", "curl", "-s", "http://catalog:8080")
    assert result.exit_code == 1
    assert "not here" in result.stderr
    assert "there are: web" in result.stderr


def test_exec_and_run_need_an_agent(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path))
    assert run("exec", "web", "--", "true").exit_code == 3
    assert run("run", "--", "true").exit_code == 3


def joined(answering: Answering, run, *arguments: str) -> Join:
    """What `tulle run` asks the agent for."""
    agent = answering(REFUSED)
    result = run("run", *arguments)
    assert result.exit_code == 1, result.output
    return msgspec.json.decode(agent.asked[0], type=Join)


def test_run_asks_for_what_its_options_say(answering: Answering, run) -> None:
    options = "-n shop --name cart --service-account basket -l app=cart -l version= --port http=8080 --port 9000"
    asked = joined(answering, run, *options.split(), "--mode", "node", "--", "cart", "--listen", ":8080")
    ports = (("http", 8080), ("", 9000))
    assert asked == Join("shop", "cart", "basket", "node", ports, {"app": "cart", "version": ""})


def test_run_takes_the_programs_options_for_the_programs(answering: Answering, run) -> None:
    assert joined(answering, run, "--", "curl", "-n", "bank").namespace == "default"


def test_the_programs_options_begin_after_its_name(answering: Answering, run) -> None:
    asked = joined(answering, run, "-n", "shop", "./server", "--port", "8080", "-n", "bank")
    assert (asked.namespace, asked.ports) == ("shop", ())


def test_run_knows_its_options(run) -> None:
    result = run("run", "--nmae", "cart", "--", "cart")
    assert result.exit_code == 2
    assert "--name" in result.stderr


@pytest.mark.parametrize(
    ("program", "name"),
    [("/usr/bin/curl", "curl-"), ("./My_Server.py", "my-server-py-"), ("...", "run-"), ("x" * 80, "x" * 50 + "-")],
)
def test_run_names_a_workload_after_its_program(answering: Answering, run, program: str, name: str) -> None:
    asked = joined(answering, run, "--", program).name
    assert asked.startswith(name)
    assert len(asked) == len(name) + 6


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--port", "0", 1),
        ("--port", "http=65536", 1),
        ("--port", "http", 1),
        ("--port", "²", 1),
        ("--label", "app", 1),
        ("--label", "=cart", 1),
        ("--mode", "both", 2),
    ],
)
def test_run_refuses_what_it_cannot_read(answering: Answering, run, option: str, value: str, code: int) -> None:
    agent = answering(REFUSED)
    result = run("run", option, value, "--", "true")
    assert result.exit_code == code
    assert value in result.stderr
    assert agent.asked == []
