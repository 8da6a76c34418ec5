"""Header edits of routes and backends.

Source: Gateway API, HTTPHeaderFilter.
"""

from collections.abc import Iterable, Iterator

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption

from tulle.view.types import HeaderEdit


def headers_to_add(edit: HeaderEdit) -> list[HeaderValueOption]:
    """What is set and what is added; `edit.remove` is taken as it is."""
    return [
        *_options(edit.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        *_options(edit.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    ]


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
        # Envoy expands %COMMANDS% in values; here a value is what it says.
        header = HeaderValue(key=name, value=value.replace("%", "%%"))
        yield HeaderValueOption(header=header, append_action=action, keep_empty_value=True)
