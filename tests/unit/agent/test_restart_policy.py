"""Restarts back off and recover; only several lost answers make a hang."""

from tulle.agent.restart_policy import HangLimits, Responsiveness, RestartPolicy


def test_delays_double_up_to_the_longest() -> None:
    policy = RestartPolicy()
    delays = []
    for _ in range(7):
        policy = policy.ended(healthy_for=0)
        delays.append(policy.delay)
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert policy.restarts == 7


def test_a_healthy_minute_starts_over_and_keeps_the_count() -> None:
    policy = RestartPolicy().ended(0).ended(0).ended(0).ended(healthy_for=60)
    assert policy.delay == 1
    assert policy.restarts == 4


def test_nothing_ended_no_delay() -> None:
    assert RestartPolicy().delay == 0


def test_several_failures_in_a_row_are_a_hang() -> None:
    seen = Responsiveness(started=0).answered(40).failed().failed()
    assert not seen.hung(100)
    assert not seen.answered(100).failed().hung(100)
    assert seen.failed().hung(100)


def test_a_start_has_time() -> None:
    seen = Responsiveness(started=10, limits=HangLimits(failures=2, grace=30)).failed().failed()
    assert not seen.hung(39)
    assert seen.hung(40)


def test_health_counts_from_the_first_answer_without_a_break() -> None:
    seen = Responsiveness(started=0).answered(5).answered(10)
    assert seen.healthy_for(65) == 60
    assert seen.failed().healthy_for(65) == 0
    assert seen.failed().answered(60).healthy_for(65) == 5
