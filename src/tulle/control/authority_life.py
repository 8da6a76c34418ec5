"""Warns of the end of the certificate authority, which nobody renews: all certificates of the mesh end with it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from tulle.api import AuthorityState
from tulle.identity.ca import Authority
from tulle.identity.rotation import life_used, warning_level
from tulle.model.timestamp import rfc3339

log = logging.getLogger(__name__)

_EVERY = 3600.0
"""Seconds. A root lasts for years."""


class AuthorityLife:
    """How much of its life is over."""

    def __init__(self, authority: Authority, clock: Callable[[], datetime]) -> None:
        self._authority = authority
        self._begin = authority.certificate.not_valid_before_utc
        self._end = authority.certificate.not_valid_after_utc
        self._clock = clock
        self._warned = 0

    def state(self) -> AuthorityState:
        expires = rfc3339(self._end)
        level = warning_level(self._begin, self._end, self._clock())
        problem = f"{level} % of the certificate authority's life is over; it ends at {expires}" if level else ""
        used = life_used(self._begin, self._end, self._clock())
        return AuthorityState(self._authority.trust_domain, expires, used, problem)

    def step(self) -> None:
        """Says aloud, once at each of the levels, what is wrong."""
        level = warning_level(self._begin, self._end, self._clock())
        if level > self._warned:
            self._warned = level
            log.warning("%s", self.state().problem)

    async def run(self) -> NoReturn:
        """Looks at it for ever."""
        while True:
            self.step()
            await asyncio.sleep(_EVERY)
