"""`tulle get --watch`: a list that goes on. Each change of an object, or of its status, is one more row or document."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tulle.api.messages import ProblemDocument
from tulle.cli.client import ControlPlane, Refused, ServerEvent
from tulle.cli.errors import Failure
from tulle.cli.kinds import Target
from tulle.cli.options import Format
from tulle.cli.output import GrowingTable, print_json, print_yaml, say
from tulle.cli.row import name_of, row
from tulle.cli.shown import Shown, path_of, shown
from tulle.model.kinds import Kind
from tulle.model.names import ObjectRef

DELETED = "Deleted"
_STATE_COLUMNS = ("STATUS", "STATE")


class Watched(Struct, frozen=True):
    """Objects of one kind: those with these names, or all where there are none."""

    kind: Kind
    names: frozenset[str] = frozenset()


def one_kind(targets: Sequence[Target]) -> Watched:
    """Raises Failure where there are several: a watch is of one list."""
    kinds = {target.kind.name: target.kind for target in targets}
    if len(kinds) > 1:
        raise Failure(f"only one kind can be watched, not {', '.join(kinds)}", "start a watch for each")
    (kind,) = kinds.values()
    return Watched(kind, frozenset(target.name for target in targets if target.name))


class Change(Struct, frozen=True):
    """An object as it is now, or as it last was if it is gone."""

    shown: Shown
    gone: bool


def follow(control: ControlPlane, watched: Watched, namespace: str, selector: str, output: Format) -> None:
    """Prints what there is, then what changes. Raises Refused where a name does not exist; Unreachable."""
    query = {"labelSelector": selector} if selector else {}
    events = control.watch(path_of(watched.kind, namespace), query)
    first, known = _first(events, watched, namespace)
    changes = _changes(events, watched, known)
    if output in (Format.table, Format.wide):
        _print_rows(
            first, changes, with_namespace=not namespace and watched.kind.namespaced, wide=output is Format.wide
        )
        return
    for shown_ in first:
        _print_document(shown_, output)
    for change in changes:
        _print_document(change.shown, output)


def _first(
    events: Iterator[ServerEvent], watched: Watched, namespace: str
) -> tuple[tuple[Shown, ...], dict[ObjectRef, Shown]]:
    """The objects that there are, which end with a bookmark; and by name."""
    found = []
    for event in events:
        if event.event == "BOOKMARK":
            break
        found.append(shown(_checked(event)))
    wanted = tuple(s for s in found if not watched.names or s.resource.metadata.name in watched.names)
    missing = sorted(watched.names - {s.resource.metadata.name for s in wanted})
    if missing:
        ref = ObjectRef(watched.kind.api_version, watched.kind.name, namespace, missing[0])
        raise Refused(404, f"{ref} does not exist")
    return wanted, {s.resource.ref: s for s in wanted}


def _changes(events: Iterator[ServerEvent], watched: Watched, known: dict[ObjectRef, Shown]) -> Iterator[Change]:
    for event in events:
        body = _checked(event)
        if event.event == "DELETED":
            last = known.pop(_ref(body), None)
            if last is not None:
                yield Change(last, gone=True)
        elif event.event != "BOOKMARK":
            now = shown(body)
            if not watched.names or now.resource.metadata.name in watched.names:
                known[now.resource.ref] = now
                yield Change(now, gone=False)


def _checked(event: ServerEvent) -> Raw:
    """Raises Failure where the control plane ends the watch with the reason."""
    if event.event == "ERROR":
        document = msgspec.json.decode(event.data, type=ProblemDocument)
        raise Refused(document.status, document.detail)
    return event.data


class _Metadata(Struct, frozen=True):
    name: str
    namespace: str = ""


class _Gone(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    metadata: _Metadata


def _ref(body: Raw) -> ObjectRef:
    gone = msgspec.json.decode(body, type=_Gone)
    return ObjectRef(gone.api_version, gone.kind, gone.metadata.namespace, gone.metadata.name)


def _print_rows(first: Sequence[Shown], changes: Iterator[Change], with_namespace: bool, wide: bool) -> None:
    def cells(change: Change) -> tuple[list[str], list[str]]:
        columns = row(change.shown, datetime.now(UTC), with_namespace, wide)
        if change.gone:
            columns = [replace(c, text=DELETED) if c.title in _STATE_COLUMNS else c for c in columns]
        return [column.title for column in columns], [column.text for column in columns]

    rows = [cells(Change(shown_, gone=False)) for shown_ in first]
    table = GrowingTable(rows[0][0], [texts for _, texts in rows]) if rows else None
    for change in changes:
        titles, texts = cells(change)
        if table is None:
            table = GrowingTable(titles, [texts])
        else:
            table.add(texts)


def _print_document(shown_: Shown, output: Format) -> None:
    match output:
        case Format.name:
            say(name_of(shown_.resource))
        case Format.json:
            print_json(shown_.tree)
        case _:
            say("---")
            print_yaml(shown_.tree)
