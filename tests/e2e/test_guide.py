"""The guide's sessions, typed as they are printed, in one mesh: each command prints what its page says."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from tests.unit.docs.pages import GUIDE, ROOT, RUN_BY_CI, Step, blocks, fits, steps

from tulle.agent.capture import rootless

pytestmark = pytest.mark.e2e

PAGES = sorted(page for page in GUIDE.glob("*.md") if RUN_BY_CI in page.read_text())
UP = "tulle up -f examples/01-shop"
AT_MOST = 60
STARTS_WITHIN = 120

# What is asked again until the answer fits: a change that was acknowledged reaches the proxies a moment later.
_READS = re.compile(r"tulle (?:exec|get|describe|status|run)\b|curl\b")


class Lab(Struct, frozen=True):
    """The running mesh. `port` is the one that pages call 8080 of this host."""

    directory: Path
    environment: dict[str, str]
    port: int
    introduction: Path

    def here(self, text: str) -> str:
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace(
            "--publish 8080:", f"--publish {self.port}:"
        )

    def run(self, command: str) -> tuple[int, str]:
        """Exit code, and stdout and stderr as a terminal would show them."""
        done = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=AT_MOST,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The shop, started by the command of the first page."""
    if os.geteuid() != 0 and (problem := rootless.detect()):
        if os.environ.get("CI"):
            pytest.fail(f"{problem.message}; {problem.hint}")
        pytest.skip(problem.message)
    directory = Path(tempfile.mkdtemp(prefix="guide-"))
    try:
        (directory / "examples").symlink_to(ROOT / "examples")
        port = _free_port()
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TULLE_RUN_DIR": str(directory / "run"),
            "TULLE_STATE_DIR": str(directory / "state"),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        running = Lab(directory, environment, port, directory / "up.out")
        with _up(running):
            yield running
    finally:
        shutil.rmtree(directory)


@contextmanager
def _up(lab: Lab) -> Iterator[None]:
    """`tulle up`, ready when entered and ended when left."""
    with lab.introduction.open("w") as output:
        process = subprocess.Popen(
            [*UP.split(), "--publish", f"{lab.port}:shop/web:8080"],
            cwd=lab.directory,
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while "Ctrl-C stops everything" not in lab.introduction.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(lab.introduction.read_text())
            time.sleep(0.2)
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(STARTS_WITHIN)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_prints_what_it_says(page: Path, lab: Lab) -> None:
    files = {block.file_name: block.text for block in blocks(page, "yaml") if block.file_name}
    for name, text in files.items():
        (lab.directory / name).write_text(text)
    background: list[subprocess.Popen[bytes]] = []
    try:
        for block in blocks(page, "console"):
            for step in steps(block.text):
                _take(lab, step, background)
    finally:
        for process in background:
            process.terminate()
            process.wait(AT_MOST)
        for name in files:
            lab.run(f"tulle delete -f {name} --ignore-not-found")
        code, output = lab.run("tulle apply -f examples/01-shop")
        assert code == 0, output


def _take(lab: Lab, step: Step, background: list[subprocess.Popen[bytes]]) -> None:
    if step.command.startswith(UP):
        assert fits(lab.here(step.output), lab.introduction.read_text())
        return
    if step.command.endswith("&"):
        command = lab.here(step.command.removesuffix("&"))
        background.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=lab.directory,
                env=lab.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return
    deadline = time.monotonic() + AT_MOST
    while True:
        code, printed = lab.run(step.command)
        good = fits(lab.here(step.output), printed) if step.output else code == 0
        if good or not _READS.match(step.command) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert good, f"$ {step.command}\n{printed}\n(exit code {code})\nthe page says:\n{step.output}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
