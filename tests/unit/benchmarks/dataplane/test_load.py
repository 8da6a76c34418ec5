"""What wrk prints."""

import pytest
from benchmarks.child import Failed
from benchmarks.dataplane.load import Counted, read_wrk

PRINTED = """\
Running 2s test @ http://server:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.67ms    1.08ms  19.70ms   82.21%
  23866 requests in 2.00s, 5.03MB read
Requests/sec:  11928.29
Transfer/sec:      2.51MB
"""


def test_requests_and_rate_are_read() -> None:
    assert read_wrk(PRINTED) == Counted(23866, 11928.29)


@pytest.mark.parametrize("line", ["  Non-2xx or 3xx responses: 3\n", "  Socket errors: connect 0, read 1\n"])
def test_an_arm_that_fails_is_not_measured(line: str) -> None:
    with pytest.raises(Failed):
        read_wrk(PRINTED + line)


def test_nothing_printed_is_a_failure() -> None:
    with pytest.raises(Failed):
        read_wrk("")
