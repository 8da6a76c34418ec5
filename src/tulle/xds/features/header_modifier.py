"""Header edits of routes and backends.

Source: Gateway API, HTTPHeaderFilter.
"""

from collections.abc import Iterable, Iterator

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption

from tulle.model.http_filters import NOT_TO_EDIT
from tulle.view.types import HeaderEdit


def headers_to_add(edit: HeaderEdit) -> list[HeaderValueOption]:
    """What is set and what is added."""
    return [
        *_options(edit.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        *_options(edit.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    ]


def headers_to_remove(edit: HeaderEdit) -> list[str]:
    return [name for name in edit.remove if _is_editable(name)]


def combined(first: HeaderEdit, second: HeaderEdit) -> HeaderEdit:
    """One edit that does what `first` and then `second` do."""
    decided = {name.lower() for name in (*(name for name, _ in second.set), *second.remove)}

    def undecided(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in pairs if pair[0].lower() not in decided)

    return HeaderEdit(
        set=undecided(first.set) + second.set,
        add=undecided(first.add) + second.add,
        remove=tuple(dict.fromkeys(first.remove + second.remove)),
    )


def _options(
    pairs: Iterable[tuple[str, str]], action: HeaderValueOption.HeaderAppendAction
) -> Iterator[HeaderValueOption]:
    for name, value in pairs:
        if not _is_editable(name):
            continue
        # Envoy expands %COMMANDS% in values; here a value is what it says.
        header = HeaderValue(key=name, value=value.replace("%", "%%"))
        yield HeaderValueOption(header=header, append_action=action, keep_empty_value=True)


def _is_editable(name: str) -> bool:
    """For others Envoy refuses the whole virtual host, or worse, takes them: what was stored may be older than the rule
    against them."""
    return not name.startswith(":") and name.lower() not in NOT_TO_EDIT
