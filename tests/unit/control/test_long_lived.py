"""What lives as long as the process is set aside."""

import gc

import pytest

from tulle.control.long_lived import long_lived


class Thing:
    pass


def test_the_collector_looks_no_more_at_what_was_made_meanwhile() -> None:
    try:
        with long_lived():
            assert not gc.isenabled()
            made = Thing()
        assert gc.isenabled()
        assert not any(found is made for found in gc.get_objects())
    finally:
        gc.unfreeze()


def test_it_goes_on_after_an_error() -> None:
    try:
        with pytest.raises(OSError, match="disk"), long_lived():
            raise OSError("disk")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
