"""JSON as signed texts and request bodies need it: one meaning per text, or `ValueError`."""

import json
from typing import Any, Final

_SHOWN: Final = 64
"""Characters of a name that an error repeats."""


def strict_json(data: bytes) -> Any:
    """Decode UTF-8 JSON; refuses a member that appears twice and what is not JSON (`NaN`)."""
    return json.loads(
        data.decode("utf-8"), object_pairs_hook=_unique_members, parse_constant=_refuse_constant
    )


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise ValueError(f"the member `{twice[:_SHOWN]}` appears twice")
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
