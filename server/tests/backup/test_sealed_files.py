"""A restored home whose sealed files its own keys do not open is told, and not handed over."""

from pathlib import Path

import pytest

from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.security.file_sealing import FileKeys
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.backup.sealed_files import require_openable
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.personal_data.file_keys import FileKeyFolder
from aitrading.server.testing.personal_data import DEVELOPMENT, write_file_keys

CLOCK = ManualClock()
NAME = "a.segment-0001"


def refusal(home: Path) -> str:
    with pytest.raises(AitradingError) as caught:
        require_openable(home)
    return caught.value.code


async def filled(home: Path) -> None:
    keys = FileKeys(
        FileKeyFolder(write_file_keys(home / "keys"), environment=DEVELOPMENT).in_order
    )
    ids = SystemIdFactory(CLOCK, SeededRandomness(1))
    folder = home / "spool" / "data-bridge"
    folder.mkdir(parents=True)
    async with await Spool.open(
        folder, limits=SpoolLimits(), clock=CLOCK, ids=ids, keys=keys
    ) as spool:
        await spool.append([b"tick"])
    quarantine = Quarantine(home / "quarantine", keys, limit_bytes=1_000, clock=CLOCK)
    assert await quarantine.keep(NAME, b"garbage", REQUEST_INVALID.error(reason="odd"))


@async_test
async def test_a_home_opens_what_it_sealed_and_nothing_sealed_needs_no_key(tmp_path: Path) -> None:
    require_openable(tmp_path)
    assert not (tmp_path / "keys").exists()
    await filled(tmp_path)
    require_openable(tmp_path)


@async_test
async def test_a_spool_of_another_key_is_noticed(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "quarantine" / f"{NAME}.segment").unlink()
    (tmp_path / "keys" / "files" / "master-0001.key").unlink()
    write_file_keys(tmp_path / "keys")
    assert refusal(tmp_path) == "FILE_KEY_MISSING"


@async_test
async def test_a_changed_copy_is_noticed(tmp_path: Path) -> None:
    await filled(tmp_path)
    copy = tmp_path / "quarantine" / f"{NAME}.segment"
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert refusal(tmp_path) == "FILE_UNREADABLE"
