"""Every operation of the platform, and every position of a request where a value can stand."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from msgspec import inspect

import aitrading.server
from aitrading.server.kit.endpoints import Endpoint
from aitrading.server.kit.openapi import declared_endpoints

ANY_TIME: Final = "2026-01-01T00:00:00Z"
NOBODY: Final = "00000000-0000-4000-8000-000000000000"
Place = tuple[str, ...]


def operations() -> list[tuple[str, Endpoint]]:
    """Every endpoint any service declares, with the name of the service."""
    walk = pkgutil.walk_packages(aitrading.server.__path__, "aitrading.server.")
    names = [found.name for found in walk if not found.name.endswith("__main__")]
    declared = declared_endpoints(importlib.import_module(name) for name in names)
    return [(module.split(".")[2].replace("_", "-"), each) for module, each in declared]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request with one value in one place."""

    method: str
    target: str
    body: Any
    query: dict[str, str] = field(default_factory=dict)


def places(operation: Endpoint) -> Iterator[Place]:
    """Where a caller can put a value: in the path, the query and each leaf of the body."""
    for part in operation.path.split("/"):
        if part.startswith("{"):
            yield ("path", part.strip("{}"))
    for parameter in operation.query:
        yield ("query", parameter.name)
    if operation.body is not None:
        for leaf in _leaves(inspect.type_info(operation.body)):
            yield ("body", *leaf)


def attempt(operation: Endpoint, place: Place, value: str, fixed: dict[str, str]) -> Attempt:
    """The request with `value` in `place`; `fixed` says what stands in places of these names."""
    kind, *names = place
    path = "/".join(
        quote(_chosen(part.strip("{}"), place, value, fixed, "path"), safe="")
        if part.startswith("{")
        else part
        for part in operation.path.split("/")
    )
    query = {
        parameter.name: _chosen(parameter.name, place, value, fixed, "query")
        for parameter in operation.query
        if parameter.required or (kind, parameter.name) == (place[0], place[-1])
    }
    body = None
    if operation.body is not None:
        body = _example(inspect.type_info(operation.body), "", fixed)
        if kind == "body":
            _put(body, names, value)
    return Attempt(method=operation.method, target=path, query=query, body=body)


def with_query(tried: Attempt) -> str:
    """Path and query in one."""
    return f"{tried.target}?{urlencode(tried.query)}" if tried.query else tried.target


def _chosen(name: str, place: Place, value: str, fixed: dict[str, str], kind: str) -> str:
    return value if place == (kind, name) else fixed.get(name, "x")


def _put(body: Any, names: list[str], value: str) -> None:
    name, *rest = names
    if not rest:
        number = isinstance(body.get(name), int) and value.isdigit()
        body[name] = int(value) if number else value
    elif rest == ["[]"]:
        body[name] = [value]
    elif rest[0] == "[]":
        body[name] = body.get(name) or [{}]
        _put(body[name][0], rest[1:], value)
    else:
        _put(body.setdefault(name, {}), rest, value)


def _leaves(kind: inspect.Type) -> Iterator[Place]:
    if isinstance(kind, inspect.StructType):
        for each in kind.fields:
            for leaf in _leaves(each.type):
                yield (each.encode_name, *leaf)
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType):
        for leaf in _leaves(kind.item_type):
            yield ("[]", *leaf)
    elif isinstance(kind, inspect.UnionType):
        yield from _leaves(_main(kind))
    else:
        yield ()


def _main(kind: inspect.UnionType) -> inspect.Type:
    return next(each for each in kind.types if not isinstance(each, inspect.NoneType))


EXAMPLES: Final[dict[type[inspect.Type], Any]] = {
    inspect.IntType: 1,
    inspect.FloatType: 1.0,
    inspect.BoolType: False,
    inspect.DateTimeType: ANY_TIME,
    inspect.DecimalType: "1",
    inspect.UUIDType: NOBODY,
    inspect.DictType: {},
}


def _example(kind: inspect.Type, name: str, fixed: dict[str, str]) -> Any:
    """Something of the shape, so that a request fails for its value and not for its form."""
    if name in fixed:
        return fixed[name]
    if isinstance(kind, inspect.StructType):
        return {
            each.encode_name: _example(each.type, each.encode_name, fixed)
            for each in kind.fields
            if each.required or each.encode_name in fixed
        }
    if isinstance(kind, inspect.UnionType):
        return _example(_main(kind), name, fixed)
    return _scalar(kind)


def _scalar(kind: inspect.Type) -> Any:
    match kind:
        case inspect.ListType() | inspect.VarTupleType():
            return []
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case _:
            return EXAMPLES.get(type(kind), "x")


def texts(value: Any) -> Iterator[str]:
    """Every scalar of a decoded answer, as text."""
    match value:
        case dict():
            for name, each in value.items():
                yield str(name)
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)
        case str() | int() | float() | UUID() | datetime() | Decimal():
            yield str(value)
        case msgspec.Raw():
            yield from texts(msgspec.json.decode(value))
        case _:
            return
