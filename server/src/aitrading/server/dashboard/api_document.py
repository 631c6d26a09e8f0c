"""The OpenAPI document of the whole installation, as it was built with this release."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

DOCUMENT = Path(__file__).parent / "openapi.json"
"""Written by `make docs` from the endpoints that all services declare."""
OpenApi = dict[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_PREFIX = ("api", "v1")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One line of the API page."""

    method: str
    path: str
    summary: str
    access: str
    parameters: tuple[tuple[str, str], ...]
    refusals: tuple[str, ...]
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Operations that are about the same thing."""

    name: str
    operations: tuple[Operation, ...]


class ApiDocument:
    """The document for programs, and the same as groups of operations for people."""

    def __init__(self, content: OpenApi) -> None:
        self.content = content

    @classmethod
    def load(cls, path: Path = DOCUMENT) -> Self:
        """Read the document of this release."""
        return cls(msgspec.json.decode(path.read_bytes(), type=OpenApi))

    def view(self) -> tuple[Group, ...]:
        """The operations for people, grouped by what they are about."""
        groups: dict[str, list[Operation]] = {}
        for path, item in self.content["paths"].items():
            for method in _METHODS:
                if method in item:
                    groups.setdefault(_subject(path), []).append(
                        _operation(method, path, item[method])
                    )
        return tuple(
            Group(name=name, operations=tuple(operations))
            for name, operations in sorted(groups.items())
        )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Operation:
    refusals: dict[str, Mapping[str, Any]] = operation.get("responses", {})
    return Operation(
        method=method.upper(),
        path=path,
        summary=str(operation.get("summary", "")),
        access=_access(operation),
        parameters=tuple(
            (str(each["name"]), str(each.get("description", "")))
            for each in operation.get("parameters", [])
        ),
        refusals=tuple(
            f"{status} {str(answer['description']).replace('`', '')}"
            for status, answer in refusals.items()
            if status.startswith(("4", "5"))
        ),
        anchor=f"{method}{path.replace('/', '-').replace('{', '').replace('}', '')}",
    )


def _access(operation: Mapping[str, Any]) -> str:
    if "security" not in operation:
        return "anybody"
    scope = operation.get("x-scope")
    return f"scope {scope}" if scope else "logged in"


def _subject(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    in_api = tuple(parts[: len(_PREFIX)]) == _PREFIX and len(parts) > len(_PREFIX)
    return parts[len(_PREFIX)] if in_api else "pages"
