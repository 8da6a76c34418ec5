import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.tree import Tree
from tulle.model.yaml_tree import MAX_DEPTH, read_yaml


def value_of(text: str) -> Tree:
    (document,) = read_yaml(text)
    assert document.problems == ()
    return document.value


def problem_of(text: str) -> tuple[int, str]:
    """The line and message of the first problem."""
    document = next(document for document in read_yaml(text) if document.problems)
    return document.problems[0].line or document.line, document.problems[0].message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("8080", 8080),
        ("-1", -1),
        ("0777", "0777"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1.10", 1.1),
        ("1e999", "1e999"),
        (".nan", ".nan"),
        ("2001-01-01", "2001-01-01"),
        ("'8080'", "8080"),
        ("!!str 8080", "8080"),
        ("!!int '8080'", 8080),
        ("9" * 5000, "9" * 5000),
        ("{a: ~, 8080: x}", {"a": None, "8080": "x"}),
        ("[1, [2]]", [1, [2]]),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("|\n  a\n  b", "a\nb"),
    ],
)
def test_words_mean_what_they_do_in_yaml_1_2(text: str, value: Tree) -> None:
    assert value_of(text) == value


def test_lines_are_those_of_the_text() -> None:
    documents = read_yaml('# first\na:\n  b:\n  - c\n  - "d.e": f\n---\n\ng: h\n')
    first, second = documents
    assert (first.line_of("a"), first.line_of("a.b[0]"), first.line_of('a.b[1]["d.e"]')) == (2, 4, 5)
    assert first.line_of("a.b[1].missing") == 5
    assert first.line_of("other") == first.line == 2
    assert (second.line, second.line_of("g")) == (8, 8)


def test_texts_of_what_is_no_text_are_kept() -> None:
    assert read_yaml("a: 1.10\nb: x")[0].texts == {"a": "1.10"}


def test_empty_documents_are_left_out() -> None:
    assert read_yaml("") == ()
    assert read_yaml("---\n---\n# nothing\n---\n") == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "`a` is there twice, first in line 1"),
        ("a: !python/object:os.system {}", 1, "the tag !python/object:os.system is not accepted"),
        ("a: !!binary aGk=", 1, "the tag tag:yaml.org,2002:binary is not accepted"),
        ("a: 1\n<<: {b: 1}", 2, "merge keys (<<) are not accepted"),
        ("? [a]\n: b", 1, "a key must be text"),
        ("a: &x\n  b: *x", 2, "the alias *x refers to what it is part of"),
        ("a: *x", 1, "the alias *x refers to nothing before it"),
        ("a: [1\nb: 2\n", 2, "this is not YAML: did not find expected ',' or ']'"),
        ("a: 1\n\tb: 2", 2, "this is not YAML: found a tab character that violates indentation"),
        ("a: \ud800", 1, "the text has characters that are not Unicode"),
        ("[" * 100_000, 1, f"values are nested more than {MAX_DEPTH} deep"),
        ("a: \0", 1, "this is not YAML: control characters are not allowed"),
    ],
)
def test_mistakes_have_a_line(text: str, line: int, message: str) -> None:
    assert problem_of(text) == (line, message)


def test_aliases_cannot_multiply() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert problem_of("\n".join(lines))[1] == "aliases repeat more than 10000 values"


def test_a_mistake_does_not_hide_the_next_document() -> None:
    documents = read_yaml("a: [\n---\nb: 1\n---\nc: *x\n---\nd: 1\n")
    assert [document.value for document in documents if not document.problems] == [{"b": 1}, {"d": 1}]
    assert [document.line for document in documents if document.problems] == [1, 5]


def test_nothing_is_read_behind_what_is_nested_too_deep() -> None:
    """The parser's work grows with the square of the depth."""
    (document,) = read_yaml("[" * (MAX_DEPTH + 2) + "}\n...\na: 1\n")
    assert [problem.message for problem in document.problems] == [f"values are nested more than {MAX_DEPTH} deep"]
    (document,) = read_yaml("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2) + "\n...\na: 1\n")
    assert document.problems


@given(st.text())
def test_never_raises(text: str) -> None:
    read_yaml(text)


@given(st.text(alphabet="a:-[]{}&*!|>'\"#%@`?, \n\t\\~<"))
def test_never_raises_on_punctuation(text: str) -> None:
    read_yaml(text)
