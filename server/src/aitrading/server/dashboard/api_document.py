"""The OpenAPI document of the whole installation, merged from what each service declares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

OpenApi = dict[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One line of the API page."""

    method: str
    path: str
    summary: str
    description: str
    access: str
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Operations that share the first part of their path."""

    name: str
    operations: tuple[Operation, ...]


class ApiDocument:
    """Merged paths and components; a path that two services claim is a mistake and raises."""

    def __init__(self, *, title: str, version: str, fragments: Iterable[OpenApi]) -> None:
        paths: OpenApi = {}
        schemas: OpenApi = {}
        for fragment in fragments:
            for path, item in _mapping(fragment.get("paths")).items():
                _add_operations(paths.setdefault(path, {}), path, item)
            schemas.update(_mapping(_mapping(fragment.get("components")).get("schemas")))
        self.content: OpenApi = {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version},
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(schemas.items())),
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-aitrading"},
                },
            },
        }

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


def _add_operations(known: OpenApi, path: str, item: Mapping[str, Any]) -> None:
    if twice := known.keys() & item.keys():
        raise ValueError(f"two services answer {sorted(twice)} {path}")
    known.update(item)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Operation:
    return Operation(
        method=method.upper(),
        path=path,
        summary=str(operation.get("summary", "")),
        description=str(operation.get("description", "")),
        access=str(operation.get("x-access", "")),
        anchor=f"{method}{path.replace('/', '-').replace('{', '').replace('}', '')}",
    )


def _subject(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return parts[2] if parts[:2] == ["api", "v1"] and len(parts) > 2 else "pages"  # noqa: PLR2004


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
