"""What a report looks like in a file."""

from benchmarks.machine import Machine
from benchmarks.report import Report, Table, markdown, with_interval
from benchmarks.statistics import Estimate
from benchmarks.targets import Target

MACHINE = Machine("2026-01-02 03:04 UTC", "a processor", 2, 24.0, "6.1", "3.11.7", "1.40.0", 0.1)
REPORT = Report(
    "dataplane",
    "What it costs",
    ("Read this.",),
    (Table("Cost", ("arm", "µs"), (("direct", "1"), ("mesh", "2"))),),
    (Target("cost", 0.75, 0.7, "MB"),),
)


def test_a_report_as_markdown() -> None:
    assert markdown(REPORT, MACHINE) == (
        "# What it costs\n\n"
        "2026-01-02 03:04 UTC; 2 cores (a processor), 24 GiB, Linux 6.1, Python 3.11.7, Envoy 1.40.0; "
        "load average before the run 0.10.\n\n"
        "Read this.\n\n"
        "![What it costs](dataplane.svg)\n\n"
        "## Cost\n\n"
        "| arm | µs |\n| --- | --- |\n| direct | 1 |\n| mesh | 2 |\n\n"
        "## Targets\n\n"
        "| figure | measured | at most |  |\n| --- | --- | --- | --- |\n| cost | 0.75 MB | 0.70 MB | missed |\n\n"
        "All blocks, nothing dropped: [dataplane.json](dataplane.json).\n"
    )


def test_an_estimate_has_its_interval() -> None:
    assert with_interval(Estimate(0.7, 0.651, 0.8)) == "0.70 [0.65..0.80]"
