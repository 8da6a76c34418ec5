"""Commands that stay in the foreground refuse what they cannot use before anything runs."""

import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("TULLE_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "app.yaml"
    file.write_text("apiVersion: tulle.dev/v1alpha1\nkind: App\nmetadata: {name: web}\nspec: {command: [web]}\n")
    return file


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--mode", "both"),
        ("--for", "soon"),
        ("--timeout", "10 seconds"),
        ("--publish", "8080"),
        ("--publish", "8080:web"),
        ("--publish", "0:web:80"),
        ("--publish", "8080:web:65536"),
        ("--publish", "8080:shop/bank/web:80"),
    ],
)
def test_up_refuses_what_it_cannot_read(run, file: Path, tmp_path: Path, option: str, value: str) -> None:
    result = run("up", "-f", str(file), option, value)
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert not (tmp_path / "run").exists()


def test_up_starts_nothing_where_a_file_has_a_problem(run, file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("command", "comand"))
    result = run("up", "-f", str(file))
    assert result.exit_code == 1
    assert "did you mean `command`?" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("published", "hint"),
    [("8080:wbe:80", "did you mean default/web?"), ("8080:shop/pricing:80", "they declare default/web")],
)
def test_up_publishes_only_what_is_there(run, file: Path, tmp_path: Path, published: str, hint: str) -> None:
    result = run("up", "-f", str(file), "--publish", published)
    assert result.exit_code == 1
    assert "the files declare no App" in result.stderr
    assert hint in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["/proc/tulle", "/dev/null", "/dev/null/tulle"])
def test_up_says_which_directory_it_cannot_use(run, file: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", place)
    result = run("up", "-f", str(file))
    assert (result.exit_code, result.stderr.count(place)) == (1, 1), result.output
    assert "Errno" not in result.stderr
    assert "name another directory with TULLE_RUN_DIR" in result.stderr
    with TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("TULLE_RUN_DIR", short)
        monkeypatch.setenv("TULLE_STATE_DIR", place)
        result = run("up", "-f", str(file))
    assert (result.exit_code, result.stderr.count(place)) == (1, 1), result.output
    assert "name another directory with TULLE_STATE_DIR" in result.stderr


def test_server_needs_a_certificate_and_a_token_for_other_hosts(run, tmp_path: Path) -> None:
    result = run("server", "--api-address", "127.0.0.1:0")
    assert result.exit_code == 1
    assert "--api-certificate" in result.stderr
    token = tmp_path / "token"
    token.touch(mode=0o600)
    needed = ["--api-certificate", "api.pem", "--api-key", "api.key", "--api-token-file", str(token)]
    result = run("server", "--api-address", "127.0.0.1:0", *needed)
    assert result.exit_code == 1
    assert "is empty" in result.stderr
    token.chmod(0o644)
    assert run("server", "--api-address", "127.0.0.1:0", *needed).exit_code == 1


@pytest.mark.parametrize("option", ["--xds-address", "--enrolment-address", "--api-address"])
@pytest.mark.parametrize("value", ["15012", "localhost", "localhost:", ":15012", "localhost:65536", "::1:15012"])
def test_server_refuses_what_is_no_address(run, tmp_path: Path, option: str, value: str) -> None:
    result = run("server", option, value)
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--control-plane", "10.0.0.1"), ("--enrolment", "10.0.0.1"), ("--address", "worker-1")]
)
def test_agent_refuses_what_is_no_address(run, tmp_path: Path, option: str, value: str) -> None:
    given = {"--node": "worker-1", "--control-plane": "[::1]:15012", option: value}
    result = run("agent", *(word for pair in given.items() for word in pair))
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert not (tmp_path / "run").exists()


def test_server_says_which_address_is_in_use(run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("server", "--xds-address", "127.0.0.1:0", "--enrolment-address", address)
    assert result.exit_code == 1
    assert f"{address} cannot be listened on" in result.stderr
