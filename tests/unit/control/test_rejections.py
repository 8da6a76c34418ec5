from tulle.control.rejections import Rejection, Rejections
from tulle.model.names import AgentId, ProxyId

ONE, TWO = ProxyId("n1"), AgentId("n1")


def test_a_rejection_stays_until_the_client_takes_the_resource():
    rejections = Rejections()
    rejections.refused(ONE, "t", "a", "bad")
    rejections.refused(ONE, "t", "b", "bad too")
    rejections.over(ONE, "u", {"a": "1"})
    rejections.over(TWO, "t", {"a": "1"})
    assert rejections.of(ONE) == (Rejection(ONE, "t", "a", "bad"), Rejection(ONE, "t", "b", "bad too"))
    rejections.over(ONE, "t", {"a": None, "c": "1"})
    assert rejections.all() == (Rejection(ONE, "t", "b", "bad too"),)


def test_the_last_words_count():
    rejections = Rejections()
    rejections.refused(ONE, "t", "a", "bad")
    rejections.refused(ONE, "t", "a", "worse")
    assert [r.message for r in rejections.all()] == ["worse"]


def test_who_leaves_is_forgotten():
    rejections = Rejections()
    rejections.refused(ONE, "t", "a", "bad")
    rejections.refused(TWO, "t", "a", "bad")
    rejections.forget(ONE)
    rejections.forget(ONE)
    assert rejections.of(ONE) == () and len(rejections.all()) == 1
