"""Dragonfly could not be run: what the cache sends is held against recorded bytes and its documents.

A difference is a change of what goes over the wire: look the new form up in Dragonfly's command
reference, then write the recording anew with `AITRADING_RECORD=1`.
"""

import os
import re
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import hiredis
import pytest
from typing_extensions import override

from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.rate_limiter import RateLimit
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.kit.cache.port import Ask, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running_valkey

pytestmark = pytest.mark.integration
EVERY_KEY = b"for i, key in ipairs(KEYS) do"
"""A script that takes each of the keys it declares, however many."""
HERE = Path(__file__).parent / "recordings"
RECORDING = HERE / "cache.resp"
SERVICE = "database-service"
TENANT = TenantId(UUID(int=7))


class Numbers(IdFactory):
    """Ids one after the other, so that owners of locks are the same each time."""

    def __init__(self) -> None:
        self._next = count(1)

    @override
    def new(self) -> UUID:
        return UUID(int=next(self._next))


class Wire(ValkeyClient):
    """A client that keeps the bytes of each command."""

    sent: list[bytes]

    @override
    async def calls(self, commands: Any) -> list[Any]:
        self.sent += [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[misc]
        return await super().calls(commands)


async def everything(cache: Cache) -> None:
    """Each operation of the port once, for a tenant."""
    mine = cache.of(TENANT)
    await mine.put("v", b"\x00one\r\n", life_s=60)
    await mine.put_if_absent("v", b"two", life_s=60)
    await mine.get("v")
    await mine.life_s("v")
    await mine.delete("v")
    await mine.spend("c", 3, limit=5, window_s=60)
    limit = RateLimit(per_minute=120, burst=120)
    await cache.grant(
        [Ask(tenant=TENANT, name=name, limit=limit, number=6) for name in ("r", "s")]
    )
    lease = await mine.acquire("l", life_s=30)
    assert lease is not None
    await mine.renew(lease, life_s=30)
    await mine.put_fenced(lease, "f", b"x", life_s=30)
    await mine.release(lease)
    await mine.put_fields("t", {"a": b"1", "b": b"2"}, life_s=60)
    await mine.fields("t")
    await mine.raise_scores("z", {"EURUSD": 1.5}, life_s=60)
    await mine.set_score("z", "GBPUSD", 2, life_s=60)
    await mine.top("z", 3)
    await mine.between("z", 0, 9, number=3)
    await mine.trim("z", 1)


def documented() -> set[str]:
    lines = (HERE / "dragonfly-commands.txt").read_text().splitlines()
    return {name for line in lines if not line.startswith("#") for name in line.split()}


@async_test
async def test_the_bytes_are_those_of_the_recording(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_valkey(tmp_path) as valkey:
        wire = Wire(valkey.access(SERVICE))
        wire.sent = []
        await everything(Cache(SERVICE, ServedCache(wire, nullcontext), clock, Numbers()))
        await wire.stop()
    lines = [each.decode("latin-1").encode("unicode_escape").decode() for each in wire.sent]
    if os.environ.get("AITRADING_RECORD"):
        RECORDING.write_text("\n".join(lines) + "\n")
    assert lines == RECORDING.read_text().splitlines()


def recorded() -> list[list[bytes]]:
    """The commands of the recording, taken apart by the protocol's own reader."""
    reader = hiredis.Reader()
    for line in RECORDING.read_text().splitlines():
        reader.feed(line.encode().decode("unicode_escape").encode("latin-1"))
    commands: list[list[bytes]] = []
    while (command := reader.gets()) is not False:
        commands.append(command)  # type: ignore[arg-type]
    return commands


def test_every_command_is_one_that_dragonfly_documents() -> None:
    commands = recorded()
    sent = {command[0].decode() for command in commands}
    texts = [command[1].decode() for command in commands if command[0] == b"EVAL"]
    inside = {name for text in texts for name in re.findall(r"redis\.call\('(\w+)'", text)}
    assert sent | inside | {"AUTH", "PING", "HELLO"} <= documented()
    assert len(commands) > 17


def test_scripts_touch_declared_keys_alone_and_set_no_flags() -> None:
    """Dragonfly refuses a script that touches a key it did not declare, unless a flag allows it."""
    scripts = [command for command in recorded() if command[0] == b"EVAL"]
    assert len({command[1] for command in scripts}) == 6
    for _, text, declared, *rest in scripts:
        keys = {int(number) for number in re.findall(rb"KEYS\[(\d)\]", text)}
        if EVERY_KEY not in text:
            assert keys == set(range(1, int(declared) + 1))
        named = rb"(?!KEYS\[|key[,)])" if EVERY_KEY in text else rb"(?!KEYS\[)"
        assert not re.search(rb"redis\.call\('\w+', " + named, text)
        assert not re.search(rb"allow-undeclared|#KEYS|pcall", text)
        assert all(
            key.startswith(f"{SERVICE}:t:{TENANT}:".encode()) for key in rest[: int(declared)]
        )
