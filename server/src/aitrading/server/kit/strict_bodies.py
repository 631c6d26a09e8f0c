"""Bodies in which nothing is ignored: a misspelt member is refused, not left out in silence.

What foreign software writes by a standard of its own may tell more than is read. Such a struct says
why, in a class variable `TOLERATES`; a test lists them.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import inspect

TOLERATES: Final = "TOLERATES"


def require_strict(body: type | None) -> None:
    """Raise `ValueError` unless the body and every struct inside it forbid unknown members."""
    lenient = [] if body is None else [*_lenient(inspect.type_info(body), set())]
    if lenient:
        raise ValueError(
            f"{', '.join(lenient)} would ignore unknown members of a request: "
            "declare with forbid_unknown_fields=True"
        )


def _lenient(kind: inspect.Type, met: set[type]) -> Iterator[str]:
    if isinstance(kind, inspect.StructType):
        if kind.cls in met:
            return
        met.add(kind.cls)
        if not (kind.forbid_unknown_fields or hasattr(kind.cls, TOLERATES)):
            yield kind.cls.__name__
        for each in kind.fields:
            yield from _lenient(each.type, met)
        return
    for inner in _inside(kind):
        yield from _lenient(inner, met)


def _inside(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    match kind:
        case inspect.CollectionType():
            return (kind.item_type,)
        case inspect.TupleType():
            return kind.item_types
        case inspect.DictType():
            return (kind.key_type, kind.value_type)
        case inspect.UnionType():
            return kind.types
        case inspect.Metadata():
            return (kind.type,)
        case _:
            return ()
