"""Keeps the garbage collector away from what lives as long as the process: the mesh as it is read at the start.

The collector walks everything that is alive, again and again while much is made, and at 10,000 services stops the
process for more than half a second each time. A snapshot has no cycles: counting references frees what is replaced.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_lived() -> Iterator[None]:
    """What is alive at the end of the block is never looked at again. For the start of a process, before there is
    anything with cycles that goes away later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
