"""Says what is wrong with a resource: where, what, and what to write instead.

User mistakes are values, collected and returned all at once; exceptions are for the machine failing.
"""

from msgspec import Struct


class Problem(Struct, frozen=True, order=True):
    """One mistake in a resource.

    `path` is the field, such as `spec.rules[0].backendRefs[1].port`; `hint` says what to write instead.
    `file` and `line` (1-based) are filled in where the resource came from a file.
    """

    path: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    resource: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file else ""
        what = f"{self.resource}: " if self.resource else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{what}{path}{self.message}{hint}"
