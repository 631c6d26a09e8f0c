"""What devices say about the ground they stand on, and which of them may open nothing new.

A device that reported altered files is barred until an administrator of the host allows it again.
A later report that all is well lifts nothing: whoever changed the files may have changed the
report. Closing, reducing and the kill switch never ask.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.device_reports import Exposure, FilesState, SecurityReport
from aitrading.core.security.device_requests import DevicePurpose, DeviceRequest
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.model import LIST_LIMIT
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests, content_of
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import Row, TenantTransaction

ALTERED: Final = "the device reported altered files"
_SQL: Final = Queries.load(PACKAGE, "sql/device_reports.sql")


class DeviceSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """The last report of an active device."""

    device: UUID
    reported_at: datetime
    exposure: Exposure
    barred_at: datetime | None
    report: SecurityReport


class DeviceReports:
    """Keeps the last report of each device; bars and allows."""

    def __init__(
        self, requests: SignedRequests, replay: Replay, *, audit: AuditTrail, clock: Clock
    ) -> None:
        self._requests = requests
        self._replay = replay
        self._audit = audit
        self._clock = clock

    async def note(self, request: DeviceRequest, *, network: str) -> Exposure:
        """Keep a report and tell the device how it stands; raises `DEVICE_REQUEST_REFUSED`."""

        async def apply(tx: TenantTransaction) -> Exposure:
            report, device = content_of(request, SecurityReport), request.device
            before = await tx.fetch_row(_SQL["present"], device)
            text = msgspec.json.encode(report).decode()
            has_debugger, moment = bool(report.debugger), now_utc(self._clock)
            await tx.execute(_SQL["keep"], device, moment, text, str(report.files), has_debugger)
            if report.files is FilesState.ALTERED and (before is None or not before["barred_at"]):
                await tx.execute(_SQL["bar"], device, moment, ALTERED)
                await self._requests.note(
                    tx, device, AuditAction.DEVICE_BARRED,
                    findings=len(report.findings), first=(*report.findings, "")[0],
                )  # fmt: skip
            if report.files is FilesState.UNSIGNED and _was_intact(before):
                await self._requests.note(
                    tx, device, AuditAction.DEVICE_UNSIGNED, software=report.software
                )
            if has_debugger and (before is None or not before["debugger"]):
                await self._requests.note(
                    tx, device, AuditAction.DEVICE_WATCHED, debugger=report.debugger
                )
            return _exposure(await tx.fetch_row(_SQL["standing"], device))

        return await self._requests.run(request, DevicePurpose.SECURITY, apply, network=network)

    async def allow(self, tenant: TenantId, device: UUID, *, actor: str, reason: str) -> None:
        """Let a device open positions again; raises `IDENTITY_UNKNOWN` when it is not barred."""

        async def apply(tx: TenantTransaction) -> None:
            row = await tx.fetch_row(_SQL["allow"], device)
            if row is None:
                raise IDENTITY_UNKNOWN.error(kind="barred device", name=str(device))
            event = AuditEvent(
                actor=actor,
                action=AuditAction.DEVICE_ALLOWED,
                subject=f"device:{device}",
                details={"barred_by": row["barred_reason"], "reason": reason},
            )
            await self._audit.add(tx, event)

        await self._replay.once(tenant, apply)

    async def list(self, tenant: TenantId) -> list[DeviceSecurity]:
        """The last reports of the tenant's active devices, at most `LIST_LIMIT`."""
        async with self._replay.pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["list"], LIST_LIMIT)
        return [
            DeviceSecurity(
                device=row["device_id"],
                reported_at=row["reported_at"],
                exposure=_exposure(row),
                barred_at=row["barred_at"],
                report=msgspec.json.decode(row["report"], type=SecurityReport),
            )
            for row in rows
        ]


def _was_intact(before: Row | None) -> bool:
    return before is not None and before["files"] == FilesState.INTACT


def _exposure(row: Row | None) -> Exposure:
    reason = None if row is None else row["barred_reason"]
    return Exposure(barred=reason is not None, reason=reason or "")
