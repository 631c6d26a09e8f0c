"""The edge shows its backup key, and devices hear of the next one: `aitrading keys rotate-edge`."""

import asyncio

import msgspec

from aitrading.server.api_gateway.edge.keeper import EdgeKeeper
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH
from aitrading.server.authority.installation import Authority
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import HOST_ACTOR, AuditEvent, AuditTrail
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction


class EdgeRotation(msgspec.Struct, frozen=True, kw_only=True):
    """Which set of keys devices are told now; SHA-256 of the public keys."""

    version: int
    in_use: str
    backup: str


class EdgeKeyEndpoints:
    """Rotates the key of the edge."""

    def __init__(
        self, authority: Authority, keeper: EdgeKeeper, replay: Replay, audit: AuditTrail
    ) -> None:
        self._authority = authority
        self._keeper = keeper
        self._replay = replay
        self._audit = audit
        self._rotating = asyncio.Lock()

    @endpoint("POST", f"{ADMIN_PATH}/keys/rotate-edge", access=ADMIN, answer=EdgeRotation)
    async def rotate(self, call: Call) -> EdgeRotation:
        """Use the backup key that devices know already, and make the next backup."""
        del call
        async with self._rotating:
            keys = self._authority.edge_keys
            before = await asyncio.to_thread(keys.pins)
            await self._note(before.version + 1)  # repeating a rotation would lock devices out
            pins = await asyncio.to_thread(keys.rotate)
            await self._keeper.show_another_key()
        return EdgeRotation(version=pins.version, in_use=pins.keys[0], backup=pins.keys[1])

    async def _note(self, version: int) -> None:
        async def apply(tx: TenantTransaction) -> None:
            event = AuditEvent(
                actor=HOST_ACTOR,
                action=AuditAction.EDGE_KEY_ROTATED,
                subject="edge",
                details={"version": version},
            )
            await self._audit.add(tx, event)

        await self._replay.once(PLATFORM, apply)
