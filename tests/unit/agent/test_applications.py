"""A version of an App is what its workloads are made from."""

from msgspec.structs import replace
from tests.fakes.apps import WEB

from tulle.agent.applications import digest_of
from tulle.view.types import AppView, HttpProbeView, ProbeView, TcpProbeView


def test_the_number_of_replicas_makes_no_other_version() -> None:
    assert digest_of(replace(WEB, replicas=7)) == digest_of(WEB)


def test_anything_else_does() -> None:
    probes = (ProbeView(TcpProbeView(80)), ProbeView(HttpProbeView(80)), ProbeView(TcpProbeView(80), period=5))
    others = [
        replace(WEB, command=("other",)),
        replace(WEB, env={"A": "1"}),
        *(replace(WEB, readiness=p) for p in probes),
    ]
    assert len({digest_of(app) for app in (WEB, *others)}) == 6


class LaterAppView(AppView, frozen=True):
    """As a later Tulle may have it."""

    niceness: int = 0


LaterAppView.__name__ = AppView.__name__


def test_a_field_that_only_a_later_tulle_knows_changes_nothing_until_it_is_used() -> None:
    values = {name: getattr(WEB, name) for name in WEB.__struct_fields__}
    assert digest_of(LaterAppView(**values)) == digest_of(WEB)
    assert digest_of(LaterAppView(**values, niceness=5)) != digest_of(WEB)
