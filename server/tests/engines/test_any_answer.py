"""Servers that work, that refuse and that hang, for real: only the last give no answer."""

import signal
from pathlib import Path

import pytest

from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.any_answer import (
    NATS_GREETING,
    POSTGRES_GREETING,
    VALKEY_GREETING,
    AnyAnswer,
)
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.process import Process
from aitrading.server.engines.valkey import ValkeyEngine, ValkeyFolders
from aitrading.server.testing.engines import (
    running,
    running_nats,
    running_postgres,
    socket_folder,
)

pytestmark = pytest.mark.integration


async def answers_until_it_hangs(process: Process, probe: AnyAnswer) -> None:
    assert await probe()
    process.send_signal(signal.SIGSTOP)
    assert not await probe()
    process.send_signal(signal.SIGCONT)
    assert await probe()


@async_test
async def test_a_cache_that_refuses_strangers_answers_and_one_that_hangs_does_not(
    tmp_path: Path,
) -> None:
    with socket_folder() as folder:
        engine = ValkeyEngine(
            ValkeyFolders(data_root=tmp_path / "valkey", run_folder=folder),
            PasswordStore(tmp_path / "passwords", SystemRandomness()),
            services=(),
        )
        async with running(engine, tmp_path) as process:
            socket = folder / "valkey.sock"
            await answers_until_it_hangs(
                process, AnyAnswer(greeting=VALKEY_GREETING, socket=socket, timeout_s=3.0)
            )


@async_test
async def test_a_database_and_a_bus_answer_a_stranger(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine, running_nats(tmp_path / "bus") as bus:
        access = engine.access("database")
        socket = Path(access.host) / f".s.PGSQL.{access.port}"
        assert await AnyAnswer(greeting=POSTGRES_GREETING, socket=socket)()
        port = int(bus.access("data-bridge").url.rpartition(":")[2])
        assert await AnyAnswer(greeting=NATS_GREETING, port=port)()


@async_test
async def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    assert not await AnyAnswer(greeting=b"", socket=tmp_path / "nobody.sock")()
