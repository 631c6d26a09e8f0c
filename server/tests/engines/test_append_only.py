"""An append-only file whose last bytes a power cut turned into zeros."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.append_only import cut_unwritten_tail, whole_commands
from aitrading.server.engines.valkey import ValkeyEngine
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running_valkey

ARGUMENTS = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
COMMANDS = st.lists(ARGUMENTS, max_size=6)


def encoded(arguments: list[bytes]) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(one), one) for one in arguments]
    return b"*%d\r\n%s" % (len(arguments), b"".join(parts))


@given(COMMANDS, st.binary(max_size=30))
def test_whole_commands_are_kept_and_a_part_is_not(
    commands: list[list[bytes]], key: bytes
) -> None:
    content = b"#TS:1700000000\r\n" + b"".join(encoded(one) for one in commands)
    assert whole_commands(content) == len(content)
    torn = encoded([b"SET", key, b"value"])[:-1]
    assert whole_commands(content + torn) == len(content)
    assert whole_commands(content + bytes(100)) == len(content)


def test_only_the_newest_part_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    damaged = encoded([b"PING"]) + bytes(50)
    for number in (9, 10):
        (folder / f"appendonly.aof.{number}.incr.aof").write_bytes(damaged)
    assert cut_unwritten_tail(tmp_path) == 50
    assert (folder / "appendonly.aof.9.incr.aof").read_bytes() == damaged
    assert (folder / "appendonly.aof.10.incr.aof").read_bytes() == encoded([b"PING"])
    assert cut_unwritten_tail(tmp_path) == 0


def test_nothing_is_cut_where_nothing_is(tmp_path: Path) -> None:
    assert cut_unwritten_tail(tmp_path) == 0


@pytest.mark.integration
@async_test
async def test_valkey_starts_after_a_power_cut_with_what_was_written(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine:
        await ask(engine, "SET", "data-bridge:kept", "yes")
    cut_power(tmp_path)
    async with running_valkey(tmp_path) as engine:
        assert await ask(engine, "GET", "data-bridge:kept") == b"yes"
        assert await ask(engine, "GET", "data-bridge:torn") is None


def cut_power(folder: Path) -> None:
    (newest,) = folder.rglob("*.incr.aof")
    with newest.open("ab") as file:
        file.write(encoded([b"SET", b"data-bridge:torn", b"x"])[:-5] + bytes(4_000))


async def ask(engine: ValkeyEngine, *command: str) -> object:
    client = ValkeyClient(engine.access("data-bridge"))
    await client.start()
    try:
        return await client.call(*command)
    finally:
        await client.stop()
