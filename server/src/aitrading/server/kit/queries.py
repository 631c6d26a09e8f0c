"""SQL lives in `.sql` files beside the code that uses it; each statement has a name."""

import re
from importlib.resources import files
from typing import Final

UNNAMED: Final = "SQL"
_NAMES: Final[dict[str, str]] = {}
"""Names of loaded statements by their text, for whoever tells what a statement took."""
_MARK: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


class Queries:
    """The named statements of one file."""

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        parts = _MARK.split(text)[1:]
        names, bodies = parts[::2], parts[1::2]
        if len(set(names)) != len(names):
            raise ValueError(f"{source}: a query's name is used twice")
        self._queries = {
            name: body.strip().removesuffix(";") for name, body in zip(names, bodies, strict=True)
        }
        room = source.removesuffix(".sql").rpartition("/")[2]
        _NAMES.update((text, f"{room}.{name}") for name, text in self._queries.items())

    @classmethod
    def load(cls, package: str, file: str) -> "Queries":
        """Read a file that ships with a package, like `load(__package__, "sql/login.sql")`."""
        return cls(file, files(package).joinpath(file).read_text("utf-8"))

    def __getitem__(self, name: str) -> str:
        """The statement; raises `KeyError` with the file's name for an unknown one."""
        if name not in self._queries:
            raise KeyError(f"{self._source} has no query named {name}")
        return self._queries[name]

    @property
    def names(self) -> frozenset[str]:
        """Every name in the file."""
        return frozenset(self._queries)


def name_of(sql: str) -> str:
    """`file.statement`, or for a statement from elsewhere what it does: its first word."""
    return _NAMES.get(sql) or sql.lstrip().partition(" ")[0][:16].strip() or UNNAMED
