"""Makes unix sockets that only their owner can open, from the moment they exist."""

import os
import socket
from pathlib import Path


def bind_private(path: Path) -> socket.socket:
    """A stream socket at `path` (0600), in place of what was there. It does not listen yet. Raises OSError."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket gets its mode at bind, by the umask; the mode of its descriptor sets that without touching the umask
        # of the other threads. Source: unix(7).
        os.fchmod(bound.fileno(), 0o600)
        bound.bind(str(path))
    except BaseException:
        bound.close()
        raise
    return bound
