"""Join tokens: what lets a node enrol, once.

A token is bound to one node and to the service accounts that the node may run. Who may read the book learns no token:
it holds hashes. The decisions are functions from book to book, so that a book kept elsewhere decides alike.
"""

import asyncio
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from tulle.identity.errors import Damaged, Denied, InvalidSpiffeId, InvalidToken, UnsafeFile
from tulle.identity.private_file import make_private_directory, read_private, write_private
from tulle.identity.secret import Secret
from tulle.identity.spiffe_id import check_segment

_TEXT = re.compile(r"tulle1\.([A-Za-z0-9_-]{8,32})\.([A-Za-z0-9_-]{32,64})\.([0-9a-f]{64})", re.ASCII)
_MAX_TEXT = 1024
# An expired ticket stays so long that its owner is told "expired" and not "unknown".
_KEPT_AFTER_EXPIRY = timedelta(days=1)
ANY = "*"

_Stamp: TypeAlias = tuple[int, int, int]


class JoinToken(Struct, frozen=True):
    """`tulle1.<id>.<secret>.<ca-pin>` as text. `pin` is the pin of the CA that the control plane must show."""

    id: str
    secret: Secret
    pin: str

    @property
    def text(self) -> Secret:
        return Secret(b".".join((b"tulle1", self.id.encode(), self.secret.reveal(), self.pin.encode())))


class AccountRule(Struct, frozen=True, order=True):
    """Service accounts that a node may run. `*` means any, in either place: `*/*` allows all there are."""

    namespace: str
    name: str

    def allows(self, namespace: str, name: str) -> bool:
        return self.namespace in (ANY, namespace) and self.name in (ANY, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Ticket(Struct, frozen=True):
    """A token as the control plane keeps it."""

    id: str
    secret_sha256: str
    node: str
    accounts: tuple[AccountRule, ...]
    expires: datetime
    used: bool = False


class EnrolledNode(Struct, frozen=True):
    node: str
    accounts: tuple[AccountRule, ...]


class Book(Struct, frozen=True):
    """All tickets and all nodes that came in with one."""

    tickets: tuple[Ticket, ...] = ()
    nodes: tuple[EnrolledNode, ...] = ()


class TokenBook(Protocol):
    """Where tickets are kept. Every method is one transaction, also among several control planes."""

    async def read(self) -> Book: ...

    async def add(self, ticket: Ticket, now: datetime) -> None:
        """Raises InvalidToken if the id is taken."""
        ...

    async def revoke(self, ticket_id: str) -> None:
        """Forgets a ticket. A node that came in with it stays."""
        ...

    async def redeem(self, token: JoinToken, node: str, now: datetime) -> None:
        """Uses up the token and enrols `node`. Raises Denied."""
        ...

    async def accounts(self, node: str) -> tuple[AccountRule, ...] | None:
        """What an enrolled node may run; None: it is not enrolled."""
        ...

    def is_enrolled(self, node: str) -> bool:
        """Whether the node came in with a token. Cheap: it is asked for every stream."""
        ...

    def enrolled(self) -> Mapping[str, tuple[AccountRule, ...]]:
        """All enrolled nodes and what each may run. As cheap as `is_enrolled`."""
        ...

    async def remove_node(self, node: str) -> None:
        """Takes back what the node's token gave: it gets no certificate and no stream any more. Tokens for it that
        were not used yet are forgotten, too."""
        ...


def parse_token(text: str) -> JoinToken:
    """Raises InvalidToken, without saying what was in `text`."""
    match = _TEXT.fullmatch(text.strip())
    if not match:
        raise InvalidToken("not a join token (tulle1.<id>.<secret>.<ca-pin>)")
    return JoinToken(match[1], Secret(match[2].encode()), match[3])


def read_token(source: str, stdin: BinaryIO) -> JoinToken:
    """The token in the file `source`, or on `stdin` where it is `-`. Never from an argument or the environment, which
    others can see. Raises InvalidToken; UnsafeFile if others can read the file."""
    if source == "-":
        return parse_token(stdin.read(_MAX_TEXT).decode("ascii", "replace"))
    with Path(source).open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise UnsafeFile(f"{source} is open to other users (mode {mode:04o}): chmod 600 {source}")
        return parse_token(file.read(_MAX_TEXT).decode("ascii", "replace"))


def parse_rule(text: str) -> AccountRule:
    """`<namespace>/<name>`, with `*` for any in either place. Raises InvalidToken."""
    namespace, _, name = text.partition("/")
    try:
        if namespace != ANY:
            check_segment(namespace)
        if name != ANY:
            check_segment(name)
    except InvalidSpiffeId as error:
        raise InvalidToken(f"not a rule for service accounts (namespace/name or namespace/*): {text!r}") from error
    return AccountRule(namespace, name)


def new_token(node: str, accounts: tuple[AccountRule, ...], expires: datetime, pin: str) -> tuple[JoinToken, Ticket]:
    """A token to hand out and the ticket to keep. Raises InvalidSpiffeId for a node that cannot have an identity."""
    check_segment(node)
    token = JoinToken(secrets.token_hex(6), Secret(secrets.token_urlsafe(32).encode()), pin)
    return token, Ticket(token.id, _hash(token), node, accounts, expires)


def added(book: Book, ticket: Ticket, now: datetime) -> Book:
    if any(kept.id == ticket.id for kept in book.tickets):
        raise InvalidToken(f"there is a token {ticket.id} already")
    kept = tuple(kept for kept in book.tickets if now < kept.expires + _KEPT_AFTER_EXPIRY)
    return msgspec.structs.replace(book, tickets=(*kept, ticket))


def redeemed(book: Book, token: JoinToken, node: str, now: datetime) -> Book:
    """The book after `token` was used for `node`. Raises Denied; only who knows the secret is told why."""
    ticket = next((ticket for ticket in book.tickets if ticket.id == token.id), None)
    if ticket is None or not hmac.compare_digest(ticket.secret_sha256, _hash(token)):
        raise Denied("the join token is not known")
    if ticket.used:
        raise Denied("the join token was used before")
    if now >= ticket.expires:
        raise Denied("the join token has expired")
    if ticket.node != node:
        raise Denied("the join token is for another node")
    tickets = tuple(msgspec.structs.replace(kept, used=True) if kept is ticket else kept for kept in book.tickets)
    others = tuple(enrolled for enrolled in book.nodes if enrolled.node != node)
    return Book(tickets, (*others, EnrolledNode(node, ticket.accounts)))


def removed(book: Book, node: str) -> Book:
    """The book after `node` was removed. A token that it used stays, so that it is told "used before"."""
    tickets = tuple(ticket for ticket in book.tickets if ticket.used or ticket.node != node)
    return Book(tickets, tuple(enrolled for enrolled in book.nodes if enrolled.node != node))


class FileTokenBook:
    """A book in one JSON file (0600) in the control plane's state directory, for all processes of one host."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[_Stamp | None, Mapping[str, tuple[AccountRule, ...]]] = (None, {})

    async def read(self) -> Book:
        return await asyncio.to_thread(self._read)

    async def add(self, ticket: Ticket, now: datetime) -> None:
        await self._change(lambda book: added(book, ticket, now))

    async def revoke(self, ticket_id: str) -> None:
        await self._change(lambda book: Book(tuple(t for t in book.tickets if t.id != ticket_id), book.nodes))

    async def redeem(self, token: JoinToken, node: str, now: datetime) -> None:
        await self._change(lambda book: redeemed(book, token, node, now))

    async def accounts(self, node: str) -> tuple[AccountRule, ...] | None:
        book = await self.read()
        return next((enrolled.accounts for enrolled in book.nodes if enrolled.node == node), None)

    def is_enrolled(self, node: str) -> bool:
        return node in self.enrolled()

    def enrolled(self) -> Mapping[str, tuple[AccountRule, ...]]:
        stamp = _stamp(self._path)
        if stamp != self._known[0]:
            self._known = (stamp, {enrolled.node: enrolled.accounts for enrolled in self._read().nodes})
        return self._known[1]

    async def remove_node(self, node: str) -> None:
        await self._change(lambda book: removed(book, node))

    async def _change(self, change: Callable[[Book], Book]) -> None:
        await asyncio.to_thread(self._change_locked, change)

    def _change_locked(self, change: Callable[[Book], Book]) -> None:
        make_private_directory(self._path.parent)
        with self._lock():
            write_private(self._path, msgspec.json.encode(change(self._read())))

    def _read(self) -> Book:
        try:
            return msgspec.json.decode(read_private(self._path), type=Book)
        except FileNotFoundError:
            return Book()
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Damaged(f"{self._path} is damaged: {error}") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # A lock belongs to the open file, so it also keeps the threads of this process apart. It is not on the book
        # itself, which every write replaces.
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _stamp(path: Path) -> _Stamp | None:
    """Differs after every write, as each makes a new file. None where there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _hash(token: JoinToken) -> str:
    # The secret is 256 random bits: a slow hash would add nothing.
    return hashlib.sha256(token.secret.reveal()).hexdigest()
