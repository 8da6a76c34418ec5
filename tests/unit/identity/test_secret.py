import pickle
import traceback

import msgspec
import pytest

from tulle.identity.secret import Secret


class Holder(msgspec.Struct):
    secret: Secret


def test_nothing_shows_it():
    secret = Secret(b"hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s:>40} {Holder(secret)} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(Holder(secret))
    with pytest.raises(TypeError):
        vars(secret)
    try:
        raise ValueError(secret)
    except ValueError:
        assert "hunter2" not in traceback.format_exc()


def test_it_can_be_revealed_and_compared():
    assert Secret(b"a").reveal() == b"a"
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    assert len({Secret(b"a"), Secret(b"a")}) == 1
