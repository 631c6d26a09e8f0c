"""The kill switch is engaged once it says so, and nothing but a person releases it."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.trading_engine.kill_switch import FILE_NAME, KillSwitches

DEMO, OTHER = TenantId(UUID(int=1)), TenantId(UUID(int=2))


def switches(folder: Path) -> KillSwitches:
    return KillSwitches(folder, ManualClock())


def test_engaging_survives_a_restart_and_touches_one_tenant(tmp_path: Path) -> None:
    asyncio.run(switches(tmp_path).engage(DEMO, "owner"))
    again = switches(tmp_path)
    engagement = again.engagement(DEMO)
    assert engagement is not None
    assert engagement.engaged_by == "owner"
    assert again.engagement(OTHER) is None


def test_engaging_twice_keeps_the_first_record(tmp_path: Path) -> None:
    async def engage_from_many() -> set[str]:
        many = switches(tmp_path)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(many.engage(DEMO, f"user {n}")) for n in range(16)]
        assert many.count == 1
        return {task.result().engaged_by for task in tasks}

    assert len(asyncio.run(engage_from_many())) == 1


def test_a_full_disk_does_not_keep_the_switch_from_acting(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    many = switches(folder)
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        asyncio.run(many.engage(DEMO, "owner"))
    assert many.engagement(DEMO) is not None
    assert many.not_audited() == [], "what no disk holds is said to nobody yet"
    with pytest.raises(FileNotFoundError):
        asyncio.run(many.engage(DEMO, "owner"))
    folder.mkdir()
    assert asyncio.run(many.engage(DEMO, "owner")).engaged_by == "owner"
    assert switches(folder).engagement(DEMO) is not None, "an answer means that it is on disk"


def test_a_damaged_record_is_never_nothing_engaged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{")
    with pytest.raises(AitradingError) as caught:
        switches(tmp_path)
    assert caught.value.code == "KILL_SWITCH_FILE_DAMAGED"
