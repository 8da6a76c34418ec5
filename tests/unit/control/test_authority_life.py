import asyncio
from datetime import timedelta

import pytest
from tests.unit.control.conftest import NOW

from tulle.control.authority_life import AuthorityLife
from tulle.identity import ca

YEAR = timedelta(days=365)


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.life = AuthorityLife(ca.new_authority("tulle.local", NOW), lambda: self.now)

    def after(self, years: float) -> None:
        self.now = NOW + years * YEAR


def test_a_young_one_is_well():
    world = World()
    world.after(4.9)
    state = world.life.state()
    assert (state.trust_domain, state.expires, state.life_used, state.problem) == (
        "tulle.local", "2036-05-01T00:00:00Z", 49, "",
    )  # fmt: skip


def test_an_old_one_is_warned_of_once_at_each_level(caplog: pytest.LogCaptureFixture):
    world = World()
    said = []
    for years in (4.9, 5, 6, 7.6, 8, 9.1, 9.9):
        caplog.clear()
        world.after(years)
        world.life.step()
        said.append([record.getMessage()[:4] for record in caplog.records])
    assert said == [[], ["50 %"], [], ["75 %"], [], ["90 %"], []]
    assert world.life.state().problem.endswith(
        "of the certificate authority's life is over; it ends at 2036-05-01T00:00:00Z"
    )


async def test_it_is_looked_at_from_the_start(caplog: pytest.LogCaptureFixture):
    world = World()
    world.after(6)
    looking = asyncio.create_task(world.life.run())
    await asyncio.sleep(0)
    looking.cancel()
    assert "50 %" in caplog.text
