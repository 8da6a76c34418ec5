from tulle.control.readers import Readers
from tulle.model.snapshot import Fact

A, B, C = (Fact("objects", name) for name in "abc")


def test_a_change_finds_who_read_it():
    readers: Readers[str] = Readers()
    readers.move("one", frozenset(), frozenset({A, B}))
    readers.move("two", frozenset(), frozenset({B, C}))
    assert readers.of([A]) == {"one"}
    assert readers.of([B, C]) == {"one", "two"}
    assert readers.of([Fact("addresses", "a")]) == set()


def test_only_what_an_answer_rests_on_now_counts():
    readers: Readers[str] = Readers()
    readers.move("one", frozenset(), frozenset({A, B}))
    readers.move("one", frozenset({A, B}), frozenset({B, C}))
    assert (readers.of([A]), readers.of([B]), readers.of([C])) == (set(), {"one"}, {"one"})
    readers.move("one", frozenset({B, C}), frozenset())
    assert readers.of([A, B, C]) == set()
