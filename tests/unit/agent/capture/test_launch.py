"""A launch survives its way through a descriptor; what cannot be executed says why."""

import os
from pathlib import Path

import pytest

from tulle.agent.capture.launch import Launch, RunAs, execute

LAUNCH = Launch(
    network="/run/tulle/ns/shop~catalog-1",
    run_dir="/run/tulle",
    hidden=("/var/lib/tulle",),
    shown=(),
    resolv_conf="nameserver 127.0.0.53\n",
    run_as=None,
    directory="/",
    command=("sleep", "1"),
    environment={"GREETING": "héllo"},
    record=None,
)


@pytest.mark.parametrize("run_as", [None, RunAs(1000, 1000, (4, 27))])
def test_a_launch_is_read_as_it_was_written(run_as: RunAs | None) -> None:
    launch = LAUNCH._replace(run_as=run_as)
    read = Launch.from_json(launch.to_json())
    assert read.to_json() == launch.to_json()
    assert read.run_as == run_as
    assert read.command == ("sleep", "1")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of files that cannot be executed."""
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for name, content in (("no-interpreter", "#!/nonexistent/sh\n"), ("words", "hello\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)  # and back afterwards: executing changes the directory first
    return tmp_path


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("nonexistent", "No such file or directory: it is in no directory of PATH=/nowhere"),
        ("/nonexistent/program", "No such file or directory"),
        ("./nonexistent", "No such file or directory: relative paths begin in {}"),
        ("./no-interpreter", "No such file or directory: what its first line names, or its loader, is not there"),
        ("./plain", "Permission denied for user {user}: it has to be an executable file (chmod +x) that they get at"),
        ("./words", "Exec format error: it is no program of this machine, nor a script that begins with #!"),
    ],
)
def test_what_cannot_be_executed_says_why(programs: Path, program: str, reason: str) -> None:
    launch = LAUNCH._replace(directory=str(programs), command=(program,), environment={"PATH": "/nowhere"})
    with pytest.raises(OSError) as raised:
        execute(launch)
    assert raised.value.strerror == reason.format(programs, user=os.geteuid())


@pytest.mark.parametrize("directory", ["closed", "plain"])
def test_a_directory_of_path_that_is_of_no_use_is_not_the_reason(programs: Path, directory: str) -> None:
    (programs / "closed").mkdir(mode=0)
    launch = LAUNCH._replace(command=("nonexistent",), environment={"PATH": f"/nowhere:{programs}/{directory}"})
    with pytest.raises(FileNotFoundError) as raised:
        execute(launch)
    assert raised.value.strerror.startswith("No such file or directory: it is in no directory of PATH=/nowhere:")


def test_a_working_directory_that_is_not_there_says_so(programs: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        execute(LAUNCH._replace(directory="/nonexistent"))
    assert raised.value.strerror == "No such file or directory: its working directory is /nonexistent"
