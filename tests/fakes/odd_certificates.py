"""Certificates and signing requests that are well-formed and yet cannot be read, as anybody may send them."""

import base64

_P256 = bytes.fromhex("06082a8648ce3d030107")


def of_unknown_curve(pem: str) -> str:
    """The certificate or request with a key on a curve that nobody knows."""
    return _changed(pem, _P256, _P256[:-1] + b"\x77")


def of_unknown_version(pem: str) -> str:
    version = b"\x02\x01\x00" if "REQUEST" in pem else b"\x02\x01\x02"
    return _changed(pem, version, version[:-1] + b"\x07")


def _changed(pem: str, old: bytes, new: bytes) -> str:
    head, *body, tail = pem.strip().splitlines()
    der = base64.b64decode("".join(body))
    assert old in der
    return f"{head}\n{base64.encodebytes(der.replace(old, new, 1)).decode()}{tail}\n"
