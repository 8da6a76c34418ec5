"""SessionPersistence: keeps a client's session with one backend. Source: Gateway API 1.6, GEP-1619, experimental."""

from typing import Annotated, Literal

from msgspec import Meta

from tulle.model.duration import Duration
from tulle.model.part import Part
from tulle.model.syntax import CookieName, HeaderName


class CookieConfig(Part, frozen=True):
    name: CookieName = ""
    path: Annotated[str, Meta(max_length=1024)] = "/"
    lifetime_type: Literal["Permanent", "Session"] = "Session"


class HeaderConfig(Part, frozen=True):
    name: HeaderName


class SessionPersistence(Part, frozen=True):
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie: CookieConfig | None = None
    header: HeaderConfig | None = None
    absolute_timeout: Duration | None = None
