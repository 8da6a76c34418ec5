"""Puts together what a table shows of an object: its name, the columns of its kind, whether it is well, its age."""

from collections.abc import Sequence
from datetime import datetime

from tulle.cli.columns import NONE, Column, age, columns
from tulle.cli.output import table
from tulle.cli.shown import Shown, conditions, is_bad
from tulle.model.kinds import Resource


def name_of(resource: Resource) -> str:
    """As `-o name` prints it: `service/web`."""
    return f"{resource.kind.lower()}/{resource.metadata.name}"


def row(shown: Shown, now: datetime, with_namespace: bool, wide: bool, with_kind: bool = False) -> list[Column]:
    """One line. `wide`: with all columns."""
    metadata = shown.resource.metadata
    name = name_of(shown.resource) if with_kind else metadata.name
    labels = ",".join(f"{key}={value}" for key, value in sorted(metadata.labels.items()))
    cells = (
        *([Column("NAMESPACE", metadata.namespace or NONE)] if with_namespace else []),
        Column("NAME", name),
        *columns(shown.resource),
        *_status(shown),
        Column("AGE", age(metadata.creation_timestamp, now)),
        Column("LABELS", labels or NONE, wide=True),
    )
    return [cell for cell in cells if wide or not cell.wide]


def print_rows(rows: Sequence[Sequence[Column]]) -> None:
    """As a table, of one line at least. All have the same titles."""
    table([cell.title for cell in rows[0]], [[cell.text for cell in row] for row in rows])


def _status(shown: Shown) -> tuple[Column, ...]:
    """One word on what is true of the object: the first reason why something is wrong, else that it is accepted."""
    if shown.resource.kind in ("Workload", "Namespace", "ServiceAccount"):
        return ()
    found = conditions(shown.status)
    wrong = next((condition.reason for condition in found if is_bad(condition)), "")
    return (Column("STATUS", wrong or ("Accepted" if found else NONE)),)
