"""The kill switch: engaging it needs no database, and it stays engaged across restarts."""

import asyncio
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import TenantId
from aitrading.server.trading_engine.errors import KILL_SWITCH_FILE_DAMAGED

FILE_NAME: Final = "kill-switches.json"


class Engagement(msgspec.Struct, frozen=True, kw_only=True):
    """Who stopped a tenant's trading, and when; `audited` once the audit trail has it."""

    engaged_by: str
    engaged_ns: int
    audited: bool = False


class KillSwitches:
    """The engaged switches of all tenants; an answer of `engage` means it is on disk."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        make_private_folder(folder)
        self._path = folder / FILE_NAME
        self._clock = clock
        self._writing = asyncio.Lock()
        self._engaged = _read(self._path)
        self._on_disk = True

    def engagement(self, tenant: TenantId) -> Engagement | None:
        """The tenant's engagement, if its switch is engaged."""
        return self._engaged.get(tenant)

    @property
    def count(self) -> int:
        """How many tenants have an engaged switch."""
        return len(self._engaged)

    async def engage(self, tenant: TenantId, actor: str) -> Engagement:
        """Stop the tenant's trading for good; engaging twice keeps the first record."""
        async with self._writing:
            engagement = self._engaged.get(tenant)
            if engagement is None:
                engagement = Engagement(engaged_by=actor, engaged_ns=self._clock.now_ns())
                # In memory first: a full disk must not keep the switch from acting.
                self._engaged[tenant] = engagement
                self._on_disk = False
            if not self._on_disk:
                await self._write()
            return engagement

    async def keep(self) -> None:
        """Try again to write what no disk has yet."""
        async with self._writing:
            if not self._on_disk:
                await self._write()

    def not_audited(self) -> list[tuple[TenantId, Engagement]]:
        """Engagements on disk that the audit trail does not have yet."""
        if not self._on_disk:
            return []
        return [
            (TenantId(tenant), each) for tenant, each in self._engaged.items() if not each.audited
        ]

    async def mark_audited(self, tenant: TenantId) -> None:
        """Remember that the audit trail has it."""
        async with self._writing:
            self._engaged[tenant] = msgspec.structs.replace(self._engaged[tenant], audited=True)
            await self._write()

    async def _write(self) -> None:
        """Until this has succeeded, no answer says that a switch is on disk."""
        self._on_disk = False
        data = msgspec.json.encode({str(key): value for key, value in self._engaged.items()})
        await asyncio.to_thread(write_atomically, self._path, data)
        self._on_disk = True


def _read(path: Path) -> dict[UUID, Engagement]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[UUID, Engagement])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, OSError) as exc:
        raise KILL_SWITCH_FILE_DAMAGED.error(path=str(path), problem=str(exc)) from exc
