import pytest

from tulle.model.duration import Duration
from tulle.model.rules.session_persistence import session_problems
from tulle.model.session_persistence import CookieConfig, HeaderConfig, SessionPersistence

PERMANENT = CookieConfig(lifetime_type="Permanent")


@pytest.mark.parametrize(
    ("session", "path"),
    [
        (SessionPersistence(), "s.cookie"),
        (SessionPersistence("Header"), "s.header"),
        (SessionPersistence("Cookie", cookie=CookieConfig(), header=HeaderConfig("a")), "s.header"),
        (SessionPersistence(cookie=PERMANENT), "s.absoluteTimeout"),
    ],
)
def test_refuses(session: SessionPersistence, path: str) -> None:
    assert [problem.path for problem in session_problems(session, "s")] == [path]


def test_accepts() -> None:
    assert list(session_problems(SessionPersistence("Header", header=HeaderConfig("a")), "s")) == []
    assert list(session_problems(SessionPersistence(cookie=PERMANENT, absolute_timeout=Duration(hours=1)), "s")) == []
