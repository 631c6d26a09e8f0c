"""Envoy's resources are JSON objects; `type_url` names their types."""

from collections.abc import Mapping, Sequence

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
Resource = dict[str, Json]

_PREFIX = "type.googleapis.com/envoy."


def typed(kind: str, **fields: Json) -> Resource:
    """A message with its type, `kind` without the common prefix."""
    return {"@type": _PREFIX + kind, **fields}


def type_url(kind: str) -> str:
    """The full name of a message type."""
    return _PREFIX + kind


def extension(name: str, kind: str, **fields: Json) -> Resource:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def always() -> Resource:
    """A runtime fraction of 100 %."""
    return {"default_value": {"numerator": 100}}
