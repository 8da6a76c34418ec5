import asyncio
import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.identity.errors import Damaged, Denied, InvalidSpiffeId, InvalidToken, UnsafeFile
from tulle.identity.tokens import (
    AccountRule,
    Book,
    FileTokenBook,
    JoinToken,
    added,
    new_token,
    parse_rule,
    parse_token,
    read_token,
    redeemed,
)

NOW = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
PIN = "ab" * 32
RULES = (AccountRule("shop", "*"), AccountRule("bank", "teller"))


def made(node: str = "n1") -> tuple[JoinToken, Book]:
    token, ticket = new_token(node, RULES, NOW + HOUR, PIN)
    return token, added(Book(), ticket, NOW)


def test_a_token_is_read_as_it_was_written():
    token, _ = made()
    text = token.text.reveal().decode()
    assert text.startswith("tulle1.") and text.endswith(PIN)
    assert parse_token(text + "\n") == token


@given(st.text())
def test_other_texts_are_refused_and_not_shown(text: str):
    with pytest.raises(InvalidToken) as caught:
        parse_token(text)
    assert str(caught.value) == "not a join token (tulle1.<id>.<secret>.<ca-pin>)"


def test_the_book_holds_no_secret():
    token, book = made()
    assert token.secret.reveal() not in msgspec.json.encode(book)


def test_a_token_enrols_its_node_once():
    token, book = made()
    after = redeemed(book, token, "n1", NOW)
    assert [(node.node, node.accounts) for node in after.nodes] == [("n1", RULES)]
    with pytest.raises(Denied, match="used before"):
        redeemed(after, token, "n1", NOW)


def test_who_does_not_know_the_secret_learns_nothing():
    token, book = made()
    used = redeemed(book, token, "n1", NOW)
    guess = msgspec.structs.replace(token, secret=made()[0].secret)
    unknown = msgspec.structs.replace(token, id="00000000")
    for known in (book, used):
        for wrong in (guess, unknown):
            with pytest.raises(Denied, match="not known"):
                redeemed(known, wrong, "n1", NOW + 2 * HOUR)


def test_an_expired_token_is_refused():
    token, book = made()
    redeemed(book, token, "n1", NOW + HOUR - timedelta(seconds=1))
    with pytest.raises(Denied, match="expired"):
        redeemed(book, token, "n1", NOW + HOUR)


def test_a_second_token_replaces_what_a_node_may_run():
    token, book = made()
    book = redeemed(book, token, "n1", NOW)
    again, ticket = new_token("n1", (AccountRule("other", "*"),), NOW + HOUR, PIN)
    book = redeemed(added(book, ticket, NOW), again, "n1", NOW)
    assert [(node.node, node.accounts) for node in book.nodes] == [("n1", (AccountRule("other", "*"),))]


def test_used_tickets_are_remembered_until_long_after_they_expire():
    token, book = made()
    book = redeemed(book, token, "n1", NOW)
    _, other = new_token("n2", RULES, NOW + 99 * HOUR, PIN)
    assert len(added(book, other, NOW + 2 * HOUR).tickets) == 2
    forgotten = added(book, other, NOW + 26 * HOUR)
    assert len(forgotten.tickets) == 1
    with pytest.raises(Denied):
        redeemed(forgotten, token, "n1", NOW)


def test_an_id_is_given_once():
    _, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    with pytest.raises(InvalidToken):
        added(added(Book(), ticket, NOW), ticket, NOW)


@pytest.mark.parametrize("node", ["", "a/b", "..", "a b"])
def test_a_node_that_cannot_have_an_identity_gets_no_token(node: str):
    with pytest.raises(InvalidSpiffeId):
        new_token(node, RULES, NOW + HOUR, PIN)


@pytest.mark.parametrize(
    ("rule", "namespace", "name", "allowed"),
    [
        ("shop/*", "shop", "cart", True),
        ("shop/*", "shop2", "cart", False),
        ("shop/cart", "shop", "cart", True),
        ("shop/cart", "shop", "cart2", False),
        ("shop/cart", "shop", "*", False),
        ("a.c/*", "abc", "cart", False),
        ("*/*", "shop", "cart", True),
        ("*/*", "bank", "*", True),
        ("*/cart", "bank", "cart", True),
        ("*/cart", "bank", "teller", False),
    ],
)
def test_rules_are_literal(rule: str, namespace: str, name: str, allowed: bool):
    assert parse_rule(rule).allows(namespace, name) is allowed
    assert str(parse_rule(rule)) == rule


@pytest.mark.parametrize("text", ["", "shop", "/", "*", "*/", "**/*", "shop/", "/x", "shop/c*", "shop/a/b", "shop/**"])
def test_what_is_no_rule_is_refused(text: str):
    with pytest.raises(InvalidToken):
        parse_rule(text)


def test_a_token_is_read_from_a_private_file_or_standard_input(tmp_path: Path):
    token, _ = made()
    file = tmp_path / "token"
    file.write_bytes(token.text.reveal() + b"\n")
    file.chmod(0o600)
    assert read_token(str(file), io.BytesIO()) == token
    assert read_token("-", io.BytesIO(token.text.reveal())) == token
    file.chmod(0o644)
    with pytest.raises(UnsafeFile, match="chmod 600"):
        read_token(str(file), io.BytesIO())


async def test_a_book_on_disk_is_private_and_lasts(tmp_path: Path):
    path = tmp_path / "control" / "tokens.json"
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    book = FileTokenBook(path)
    assert await book.accounts("n1") is None
    await book.add(ticket, NOW)
    await book.redeem(token, "n1", NOW)
    again = FileTokenBook(path)
    assert await again.accounts("n1") == RULES
    with pytest.raises(Denied, match="used before"):
        await again.redeem(token, "n1", NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await again.remove_node("n1")
    assert await book.accounts("n1") is None


async def test_a_node_that_was_removed_comes_back_with_a_new_token_only(tmp_path: Path):
    book = FileTokenBook(tmp_path / "tokens.json")
    used, spare, other = (new_token(node, RULES, NOW + HOUR, PIN) for node in ("n1", "n1", "n2"))
    for _, ticket in (used, spare, other):
        await book.add(ticket, NOW)
    await book.redeem(used[0], "n1", NOW)
    await book.remove_node("n1")
    for token, why in ((used[0], "used before"), (spare[0], "not known")):
        with pytest.raises(Denied, match=why):
            await book.redeem(token, "n1", NOW)
    await book.redeem(other[0], "n2", NOW)
    again, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    await book.add(ticket, NOW)
    await book.redeem(again, "n1", NOW)
    assert set(book.enrolled()) == {"n1", "n2"}


async def test_who_is_enrolled_is_known_as_it_changes_also_to_another_process(tmp_path: Path):
    path = tmp_path / "control" / "tokens.json"
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    book, other = FileTokenBook(path), FileTokenBook(path)
    assert not other.is_enrolled("n1")
    await book.add(ticket, NOW)
    assert not other.is_enrolled("n1")
    await book.redeem(token, "n1", NOW)
    assert other.is_enrolled("n1") and not other.is_enrolled("n2")
    assert other.enrolled() == {"n1": RULES}
    await book.remove_node("n1")
    assert not other.is_enrolled("n1")


async def test_a_revoked_token_is_unknown(tmp_path: Path):
    book = FileTokenBook(tmp_path / "control" / "tokens.json")
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    await book.add(ticket, NOW)
    await book.revoke(token.id)
    with pytest.raises(Denied, match="not known"):
        await book.redeem(token, "n1", NOW)
    assert (await book.read()).tickets == ()


async def test_a_damaged_book_lets_nobody_in(tmp_path: Path):
    path = tmp_path / "control" / "tokens.json"
    book = FileTokenBook(path)
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    await book.add(ticket, NOW)
    for damage in (b"{", b'{"tickets":["\xff"]}', path.read_bytes().replace(b"n1", b"\xff1")):
        path.write_bytes(damage)
        with pytest.raises(Damaged):
            await book.redeem(token, "n1", NOW)
    path.chmod(0o640)
    with pytest.raises(UnsafeFile):
        await book.redeem(token, "n1", NOW)


REDEEM = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from tulle.identity.errors import Denied
from tulle.identity.tokens import FileTokenBook, read_token
token = read_token("-", sys.stdin.buffer)
try:
    asyncio.run(FileTokenBook(Path(sys.argv[1])).redeem(token, "n1", datetime.fromisoformat(sys.argv[2])))
    print("redeemed")
except Denied:
    print("denied")
"""


async def test_among_processes_a_token_is_used_once(tmp_path: Path):
    path = tmp_path / "control" / "tokens.json"
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    await FileTokenBook(path).add(ticket, NOW)
    command = [sys.executable, "-c", REDEEM, str(path), NOW.isoformat()]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    results = await asyncio.gather(*(process.communicate(token.text.reveal()) for process in processes))
    assert sorted(output for output, _ in results) == [b"denied\n"] * 3 + [b"redeemed\n"]


async def test_among_threads_a_token_is_used_once(tmp_path: Path):
    path = tmp_path / "control" / "tokens.json"
    token, ticket = new_token("n1", RULES, NOW + HOUR, PIN)
    await FileTokenBook(path).add(ticket, NOW)
    tries = (FileTokenBook(path).redeem(token, "n1", NOW) for _ in range(20))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, Denied) for result in results) == 19
