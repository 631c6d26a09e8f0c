"""The table of granted settings; every change is validated first and audited with it."""

from datetime import datetime
from typing import Any, Final

import msgspec

from aitrading.core.infrastructure.config_manager import ConfigInvalidError, ConfigManager
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import Category, ErrorSpec, FieldValue, Severity
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenant_settings import TenantSettings
from aitrading.server.kit.transactions import TenantTransaction

_SQL: Final = Queries.load(__package__ or "", "settings.sql")

TENANT_SETTING_REFUSED: Final = ErrorSpec(
    code="TENANT_SETTING_REFUSED",
    category=Category.DENIED,
    message="`{setting}` cannot be granted to one organisation: {problem}.",
    why="The name is unknown, the same for everybody, or the value is out of its bounds.",
    remedy="`aitrading config reference` tells every setting and which may differ by organisation.",
    http_status=422,
    severity=Severity.INFO,
)
TENANT_SETTING_UNKNOWN: Final = ErrorSpec(
    code="TENANT_SETTING_UNKNOWN",
    category=Category.DENIED,
    message="`{setting}` was not granted to this organisation.",
    why="It has the value that everybody has.",
    remedy="See what was granted: `aitrading config tenant list --tenant NAME`.",
    http_status=404,
    severity=Severity.INFO,
)


class GrantedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of one organisation."""

    setting: str
    value: msgspec.Raw
    changed_at: datetime
    changed_by: str


class SettingsBook:
    """What was granted to whom."""

    def __init__(
        self,
        pool: PostgresPool,
        replay: Replay,
        config: ConfigManager,
        settings: TenantSettings,
        guards: Guards,
        clock: Clock,
        ids: IdFactory,
        audit: AuditTrail,
    ) -> None:
        self._pool = pool
        self._replay = replay
        self._ids = ids
        self._config = config
        self._settings = settings
        self._guards = guards
        self._clock = clock
        self._audit = audit

    async def granted(self, tenant: TenantId) -> tuple[GrantedSetting, ...]:
        """By name."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                return await _granted(tx)

    async def grant(
        self, tenant: TenantId, setting: str, value: Any, actor: str
    ) -> tuple[GrantedSetting, ...]:
        """Add or replace one; raises `TENANT_SETTING_REFUSED`. It acts here at once."""
        self._require_sound(tenant, setting, value)
        text = msgspec.json.encode(value).decode()

        async def write(tx: TenantTransaction) -> tuple[GrantedSetting, ...]:
            await tx.execute(_SQL["grant"], setting, text, now_utc(self._clock), actor)
            await self._audit.add(
                tx, _event(actor, AuditAction.SETTING_GRANTED, setting, {"value": value})
            )
            return await _granted(tx)

        with self._guards.postgres.guard():
            granted = await self._replay.run(tenant, write, receipt=self._ids.new())
        await self._settings.reload(tenant)
        return granted

    async def take_back(
        self, tenant: TenantId, setting: str, actor: str
    ) -> tuple[GrantedSetting, ...]:
        """Let the organisation have what everybody has; raises `TENANT_SETTING_UNKNOWN`."""

        async def write(tx: TenantTransaction) -> tuple[GrantedSetting, ...]:
            if not await tx.execute(_SQL["take_back"], setting):
                raise TENANT_SETTING_UNKNOWN.error(setting=setting[:128])
            await self._audit.add(tx, _event(actor, AuditAction.SETTING_TAKEN_BACK, setting, {}))
            return await _granted(tx)

        with self._guards.postgres.guard():
            granted = await self._replay.run(tenant, write, receipt=self._ids.new())
        await self._settings.reload(tenant)
        return granted

    def _require_sound(self, tenant: TenantId, setting: str, value: Any) -> None:
        if setting not in self._config.explain_all():
            problem = "this service has no such setting"
            raise TENANT_SETTING_REFUSED.error(setting=setting[:128], problem=problem)
        try:
            self._config.check_tenant_overrides(tenant, {setting: value})
        except ConfigInvalidError as exc:
            problem = "; ".join(each.message for each in exc.problems)
            raise TENANT_SETTING_REFUSED.error(setting=setting, problem=problem) from exc


def _event(
    actor: str, action: AuditAction, setting: str, details: dict[str, FieldValue]
) -> AuditEvent:
    return AuditEvent(actor=actor, action=action, subject=f"setting:{setting}", details=details)


async def _granted(tx: TenantTransaction) -> tuple[GrantedSetting, ...]:
    rows = await tx.fetch(_SQL["list"])
    return tuple(
        GrantedSetting(
            setting=row["setting"],
            value=msgspec.Raw(row["value"].encode()),
            changed_at=row["changed_at"],
            changed_by=row["changed_by"],
        )
        for row in rows
    )
