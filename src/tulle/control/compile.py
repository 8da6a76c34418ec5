"""Compiles xDS on demand: key to view to bytes, once for everybody who asks.

The memo remembers which facts each view read. A change names the facts that differ; only what read one of them is
built again, and an equal view stops there.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from tulle.control.readers import Readers
from tulle.model.keys import Key
from tulle.model.names import ObjectRef, ProxyId, ServiceName, WorkloadName
from tulle.model.service import Service
from tulle.model.snapshot import Fact, Snapshot
from tulle.model.workload import Workload
from tulle.view import Reader, Scope, View, build, scope
from tulle.xds.resource import Resource
from tulle.xds.translate import translate

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Entry(Struct, Generic[T], frozen=True, gc=False):
    value: T
    facts: frozenset[Fact]


class _Compiled(Struct, frozen=True, gc=False):
    view: View | None
    resource: Resource | None


Question: TypeAlias = Key | ProxyId


class Changes(Struct, frozen=True):
    """What a new snapshot changed among what was asked for: resources by key, and proxies whose scope differs."""

    keys: frozenset[Key]
    proxies: frozenset[ProxyId]


class Compiler:
    """The memo of one snapshot; `advance` carries it over to the next. `failures` says what could not be compiled."""

    def __init__(self, snapshot: Snapshot, translate: Callable[[View], Resource] = translate) -> None:
        self.snapshot = snapshot
        self._translate = translate
        self._compiled: dict[Key, _Entry[_Compiled]] = {}
        self._scopes: dict[ProxyId, _Entry[Scope]] = {}
        self._readers: Readers[Question] = Readers()
        self._listeners: list[Callable[[], None]] = []
        self.failures: dict[Key, str] = {}

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls `listener` whenever `failures` or an answer of `objects_of` may be another."""
        self._listeners.append(listener)

    def resource(self, key: Key) -> Resource | None:
        """The compiled resource, or None where there is no such thing now."""
        entry = self._compiled.get(key)
        if entry is None:
            entry = self._build(key, None)
        return entry.value.resource

    def scope(self, proxy: ProxyId) -> Scope:
        entry = self._scopes.get(proxy)
        return (entry or self._rescope(proxy)).value

    def objects_of(self, key: Key) -> frozenset[ObjectRef]:
        """The objects that the view of a key was made from: who hears when a proxy refuses it."""
        entry = self._compiled.get(key)
        refs = (_object_of(fact) for fact in (entry.facts if entry else ()))
        return frozenset(ref for ref in refs if ref is not None and ref in self.snapshot.objects)

    def advance(self, snapshot: Snapshot, facts: Iterable[Fact]) -> Changes:
        """Takes the next snapshot, which differs in `facts`; builds again what rests on them."""
        self.snapshot = snapshot
        keys, proxies = set(), set()
        for question in self._readers.of(facts):
            if isinstance(question, ProxyId):
                before = self._scopes[question]
                if self._rescope(question).value != before.value:
                    proxies.add(question)
            else:
                compiled = self._compiled[question].value
                if self._build(question, compiled).value.resource != compiled.resource:
                    keys.add(question)
        return Changes(frozenset(keys), frozenset(proxies))

    def forget(self, questions: Iterable[Question]) -> None:
        """Drops what nobody asks for any more."""
        for question in questions:
            entry: _Entry[Scope] | _Entry[_Compiled] | None
            if isinstance(question, ProxyId):
                entry = self._scopes.pop(question, None)
            else:
                entry = self._compiled.pop(question, None)
                self.failures.pop(question, None)
            if entry is not None:
                self._readers.move(question, entry.facts, frozenset())
        self._tell()

    def __len__(self) -> int:
        return len(self._compiled)

    def _build(self, key: Key, before: _Compiled | None) -> _Entry[_Compiled]:
        reader = Reader(self.snapshot)
        try:
            compiled = self._compile(reader, key, before)
            self.failures.pop(key, None)
        except Exception as error:  # an object that is served wrongly must not take all others with it
            log.exception("%s cannot be compiled; its last good version goes on being served", key)
            self.failures[key] = f"{type(error).__name__}: {error}"
            compiled = before or _Compiled(None, None)
        entry = _Entry(compiled, frozenset(reader.facts))
        known = self._compiled.get(key)
        self._readers.move(key, known.facts if known else frozenset(), entry.facts)
        self._compiled[key] = entry
        self._tell()
        return entry

    def _compile(self, reader: Reader, key: Key, before: _Compiled | None) -> _Compiled:
        """Equal views are not translated again."""
        view = build(reader, key)
        if before is not None and before.view == view:
            return before
        return _Compiled(view, self._translate(view) if view is not None else None)

    def _rescope(self, proxy: ProxyId) -> _Entry[Scope]:
        reader = Reader(self.snapshot)
        entry = _Entry(scope(reader, proxy), frozenset(reader.facts))
        known = self._scopes.get(proxy)
        self._readers.move(proxy, known.facts if known else frozenset(), entry.facts)
        self._scopes[proxy] = entry
        return entry

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _object_of(fact: Fact) -> ObjectRef | None:
    """The object that a fact is about, if it is about one."""
    match fact.key:
        case ObjectRef():
            return fact.key
        case ServiceName(namespace, name):
            return ObjectRef(Service.API_VERSION, Service.__name__, namespace, name)
        case WorkloadName(namespace, name):
            return ObjectRef(Workload.API_VERSION, Workload.__name__, namespace, name)
    return None
