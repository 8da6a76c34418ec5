import socket
from pathlib import Path

import pytest
from fastapi import FastAPI

from tulle.control.http import HttpsSettings, on_socket, over_tls


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_api_listens_at_an_address_of_either_ip_version(host: str):
    _, listener = over_tls(FastAPI(), _settings(host))
    with listener:
        name, port = listener.getsockname()[:2]
        assert name in ("127.0.0.1", "::1")
        with socket.create_connection((name, port)):
            pass


def test_the_api_listens_on_a_socket_of_its_owner(tmp_path: Path):
    _, listener = on_socket(FastAPI(), tmp_path / "api.sock")
    with listener:
        assert (tmp_path / "api.sock").stat().st_mode & 0o777 == 0o600


def test_a_token_does_not_show():
    assert "hunter2" not in repr(_settings("127.0.0.1"))


def _settings(host: str) -> HttpsSettings:
    return HttpsSettings(host, 0, Path("cert.pem"), Path("key.pem"), "hunter2")
