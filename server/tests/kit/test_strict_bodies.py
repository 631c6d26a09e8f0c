"""No request body lets anything pass unread: neither a misspelt member nor one of two."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from harness.positions import operations

from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.asgi import Created
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import PUBLIC, endpoint
from aitrading.server.kit.strict_bodies import TOLERATES, require_strict
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving

WHERE = "/api/v1/notes"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""
    inner: Inner | None = None
    more: dict[str, int] = {}
    tags: list[str] = []


class Lenient(msgspec.Struct):
    text: str = ""


class Outside(msgspec.Struct, forbid_unknown_fields=True):
    """Strict itself, and lenient where nobody looks."""

    inner: dict[str, tuple[Lenient | None, ...]]
    again: "Outside | None" = None


class Desk:
    @endpoint("POST", WHERE, access=PUBLIC, body=Note, answer=Note)
    async def write(self, call: Call) -> Created:
        """Tell what was understood."""
        return Created(await call.json(Note))

    @endpoint("PUT", WHERE, access=PUBLIC)
    async def undeclared(self, call: Call) -> Created:
        """Read what was not declared."""
        return Created(await call.json(Note))


def test_every_declared_body_is_strict() -> None:
    bodies = [each.body for _, each in operations() if each.body is not None]
    assert len(bodies) > 30
    for body in bodies:
        require_strict(body)


def test_only_what_foreign_software_writes_may_tell_more() -> None:
    operations()
    tolerant = {each.__name__ for each in _structs(msgspec.Struct) if hasattr(each, TOLERATES)}
    assert tolerant == {"MadeKey", "MadeKeyResponse", "SignedByKey", "SignedResponse"}


def _structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in kind.__subclasses__():
        yield each
        yield from _structs(each)


@pytest.mark.parametrize("body", [Lenient, Outside])
def test_a_body_that_ignores_members_cannot_be_declared(body: type) -> None:
    with pytest.raises(ValueError, match="Lenient would ignore unknown members"):
        endpoint("POST", WHERE, access=PUBLIC, body=body)


@async_test
async def test_one_meaning_or_none() -> None:
    refused = {
        '{"text": "a", "text": "b"}': "the member `text` appears twice",
        '{"text": "a", "t\\u0065xt": "b"}': "the member `text` appears twice",
        '{"inner": {"text": "a", "text": "a"}}': "the member `text` appears twice",
        '{"more": {"x": 1, "x": 2}}': "the member `x` appears twice",
        '{"texd": "a"}': "`texd`",
        '{"inner": {"x": 1}}': "`x`",
        '{"more": {"x": NaN}}': "malformed",
        '{"more": {"x": 1e999}}': "",
        '{"more": {"x": ' + "9" * 5_000 + "}}": "",
        '{"text": "\\ud800"}': "",
        '{"text": "a\\u0000"}': "character zero",
        '{"more": {"x\\u0000": 1}}': "character zero",
        '{"inner": {"text": "\\u0000"}}': "character zero",
        '{"tags": ["a", "\\u0000"]}': "character zero",
        '{"text": "a"} {}': "",
        '\ufeff{"text": "a"}': "",
        '{"inner": ' * 5_000: "",
        '{"z": ' + "[" * 60_000: "",
        "": "",
    }
    with socket_folder() as home:
        async with serving(InProcessServer(Path(home), "desk", SystemClock()), [Desk()]) as server:
            for body, told in refused.items():
                answer = await server.edge("POST", WHERE, body=body.encode())
                assert (answer.status, answer.code) == (400, "REQUEST_INVALID"), body[:60]
                assert told in answer.json["error"]["message"], body[:60]
            good = {"text": "\\u0000", "inner": {"text": "a"}, "more": {"text": 1}, "tags": ["a"]}
            answer = await server.edge("POST", WHERE, body=json.dumps(good).encode())
            assert (answer.status, answer.json) == (201, good)


@async_test
async def test_only_json_that_is_called_json_is_read() -> None:
    kinds = {
        "application/json": 201,
        "Application/JSON; charset=utf-8": 201,
        "application/x-www-form-urlencoded": 400,
        "text/plain": 400,
        "text/plain; application/json": 400,
        "application/json-patch+json": 400,
        "multipart/form-data; boundary=x": 400,
        "": 400,
    }
    with socket_folder() as home:
        async with serving(InProcessServer(Path(home), "desk", SystemClock()), [Desk()]) as server:
            for kind, status in kinds.items():
                headers = {"content-type": kind}
                answer = await server.edge("POST", WHERE, headers=headers, body=b"{}")
                assert answer.status == status, kind


@async_test
async def test_a_body_that_is_not_declared_cannot_be_read() -> None:
    with socket_folder() as home:
        async with serving(InProcessServer(Path(home), "desk", SystemClock()), [Desk()]) as server:
            answer = await server.edge("PUT", WHERE, body=b"{}")
            assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
