"""Rules for session persistence."""

from collections.abc import Iterator

from tulle.model.problem import Problem
from tulle.model.session_persistence import SessionPersistence
from tulle.model.tree import below


def session_problems(session: SessionPersistence, at: str) -> Iterator[Problem]:
    for type_, field, value in (("Cookie", "cookie", session.cookie), ("Header", "header", session.header)):
        if value is None and type_ == session.type:
            yield Problem(below(at, field), f"`{field}` is missing, which the type {type_} needs")
        if value is not None and type_ != session.type:
            yield Problem(below(at, field), f"does not belong to the type {session.type}", f"write type: {type_}")
    permanent = session.cookie is not None and session.cookie.lifetime_type == "Permanent"
    if permanent and session.absolute_timeout is None:
        yield Problem(below(at, "absoluteTimeout"), "`absoluteTimeout` is missing, which a permanent cookie needs")
