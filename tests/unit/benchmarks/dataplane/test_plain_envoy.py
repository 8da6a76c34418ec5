"""A real Envoy takes the configurations that Tulle is compared with."""

import os
import subprocess
from pathlib import Path

from benchmarks.dataplane import plain_envoy

from tulle.agent import envoy_binary


def test_envoy_takes_all_of_them(tmp_path: Path) -> None:
    plain_envoy.write_certificates(tmp_path)
    pair = plain_envoy.Pair(entry=10001, mesh=10002, upstream=10003)
    configs = {
        "upstream": plain_envoy.upstream(pair.upstream),
        "client": plain_envoy.client(pair, tmp_path),
        "HTTP server": plain_envoy.http_server(pair, tmp_path),
        "TCP server": plain_envoy.tcp_server(pair, tmp_path),
    }
    binary = envoy_binary.find(os.environ).path
    for name, config in configs.items():
        path = tmp_path / f"{name}.json"
        path.write_text(config)
        done = subprocess.run(
            [binary, "--mode", "validate", "-c", path, "--log-level", "error"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
