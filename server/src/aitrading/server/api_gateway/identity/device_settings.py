"""Settings that an organisation has for its installed clients, and the bundles made of them.

A version is drawn for a device when what it is to use differs from what it says it uses, above the
highest that either side ever saw: a server restored from a backup is never taken for a rollback,
and a client restored from one gets a new version at its first question.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.config_manager import ConfigInvalidError
from aitrading.core.infrastructure.device_settings import check_remote, remote_settings
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import DeviceSettingsChanged
from aitrading.core.kit.clock import Clock, now_ms, now_utc
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.config_bundle import (
    BundleContent,
    Scalar,
    SignedBundle,
    WantedBundle,
    settings_digest,
    sign_bundle,
)
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.device_requests import DevicePurpose, DeviceRequest
from aitrading.core.security.server_pins import SignedPins
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests, content_of
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

LIFE_MS: Final = 7 * 24 * 3_600_000
"""How long a bundle can be taken; a device asks every few minutes and gets one with a later end."""
DEVICES_MAX: Final = 1_000
_NAME: Final = re.compile(r"[a-z_]{1,64}\.[a-z_]{1,64}", re.ASCII)
_SQL: Final = Queries.load(PACKAGE, "sql/device_settings.sql")

DEVICE_SETTING_REFUSED: Final = ErrorSpec(
    code="DEVICE_SETTING_REFUSED",
    category=Category.DENIED,
    message="`{setting}` cannot be set so on an installed client: {problem}.",
    why="A client takes from its server only what is declared for that, within its bounds.",
    remedy="`docs/how-to/configure-clients.md` lists what can be set.",
    http_status=422,
    severity=Severity.INFO,
)
DEVICE_SETTING_UNKNOWN: Final = ErrorSpec(
    code="DEVICE_SETTING_UNKNOWN",
    category=Category.DENIED,
    message="`{setting}` is not set there.",
    why="It was never set, or is set for every device instead of for one, or the other way round.",
    remedy="See what is set: `aitrading device settings list --tenant NAME`.",
    http_status=404,
    severity=Severity.INFO,
)


class DeviceSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, of one device or of every one."""

    setting: str
    value: msgspec.Raw
    device: UUID | None
    changed_at: datetime
    changed_by: str


class DeviceConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed for a device, and what it said it uses."""

    device: UUID
    version: int
    used_version: int
    is_used: bool
    """It uses what is signed."""
    problem: str
    asked_at: datetime


class DeviceSettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """What is set, how far each device is, and what may be set."""

    items: tuple[DeviceSetting, ...]
    devices: tuple[DeviceConfiguration, ...]
    may_be_set: tuple[str, ...]


class DeviceSettings:
    """Keeps them, tells of changes, signs bundles."""

    def __init__(  # noqa: PLR0913 - the meeting point of what a bundle is made of
        self,
        requests: SignedRequests,
        replay: Replay,
        *,
        signer: tuple[SigningKey, bytes],
        pins: Callable[[], SignedPins],
        audit: AuditTrail,
        bus: EventBus,
        clock: Clock,
        ids: IdFactory,
        on_error: Callable[[Exception], object],
    ) -> None:
        self._requests = requests
        self._replay = replay
        self._key, self._vouched = signer
        self._pins = pins
        self._audit = audit
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._on_error = on_error

    async def view(self, tenant: TenantId) -> DeviceSettingsView:
        """Everything that is set in an organisation."""
        async with self._replay.pool.tenant_read(tenant) as tx:
            settings = await tx.fetch(_SQL["every"])
            devices = await tx.fetch(_SQL["configurations"], DEVICES_MAX)
        return DeviceSettingsView(
            items=tuple(_setting(row) for row in settings),
            devices=tuple(_configuration(row) for row in devices),
            may_be_set=remote_settings(),
        )

    async def set(
        self, tenant: TenantId, device: UUID | None, setting: str, value: Scalar, *, actor: str
    ) -> None:
        """Set it for one device or for every one, within seconds; raises `DEVICE_SETTING_REFUSED`."""
        _require_sound(setting, value)
        text = msgspec.json.encode(value).decode()

        async def apply(tx: TenantTransaction) -> None:
            if device and await tx.fetch_row(_SQL["known_device"], device) is None:
                raise IDENTITY_UNKNOWN.error(kind="device", name=str(device))
            moment = now_utc(self._clock)
            await tx.execute(_SQL["set"], self._ids.new(), device, setting, text, moment, actor)
            await self._note(tx, actor, AuditAction.DEVICE_SETTING_SET, device, setting, text)

        await self._replay.once(tenant, apply)
        await self._tell(tenant, device)

    async def unset(
        self, tenant: TenantId, device: UUID | None, setting: str, *, actor: str
    ) -> None:
        """Let devices use their own value again; raises `DEVICE_SETTING_UNKNOWN`."""
        if _NAME.fullmatch(setting) is None:
            raise DEVICE_SETTING_UNKNOWN.error(setting=ascii(setting[:100]))

        async def apply(tx: TenantTransaction) -> None:
            if not await tx.fetch(_SQL["unset"], device, setting):
                raise DEVICE_SETTING_UNKNOWN.error(setting=setting[:128])
            await self._note(tx, actor, AuditAction.DEVICE_SETTING_UNSET, device, setting, "")

        await self._replay.once(tenant, apply)
        await self._tell(tenant, device)

    async def bundle(self, request: DeviceRequest, *, network: str) -> SignedBundle:
        """What the device that asks is to use; raises `DEVICE_REQUEST_REFUSED`."""

        async def apply(tx: TenantTransaction) -> BundleContent:
            wanted = content_of(request, WantedBundle)
            settings = await _settings_of(tx, request.device)
            digest = settings_digest(settings)
            row = await tx.fetch_row(_SQL["configuration"], request.device)
            known = row["version"] if row else 0
            version = max(known, wanted.version, 1)
            if digest != wanted.digest and not (
                row and row["digest"] == digest and known > wanted.version
            ):
                version = max(known, wanted.version) + 1
            moment = now_utc(self._clock)
            await tx.execute(
                _SQL["note"], request.device, version, digest, moment, wanted.version,
                wanted.digest, wanted.problem,
            )  # fmt: skip
            made_ms = now_ms(self._clock)
            return BundleContent(
                tenant=request.tenant,
                device=request.device,
                version=version,
                made_ms=made_ms,
                expires_ms=made_ms + LIFE_MS,
                settings=settings,
            )

        content = await self._requests.run(
            request, DevicePurpose.CONFIGURATION, apply, network=network
        )
        pins = await asyncio.to_thread(self._pins)
        return sign_bundle(content, self._key, self._vouched, pins=pins)

    async def _tell(self, tenant: TenantId, device: UUID | None) -> None:
        """The change is committed; a device that does not hear of it asks again by itself."""
        try:
            await self._bus.publish(DeviceSettingsChanged(device=device), tenant=tenant)
        except AitradingError as exc:
            self._on_error(exc)

    async def _note(
        self,
        tx: TenantTransaction,
        actor: str,
        action: AuditAction,
        device: UUID | None,
        setting: str,
        value: str,
    ) -> None:
        event = AuditEvent(
            actor=actor,
            action=action,
            subject=f"device:{device}" if device else "device:all",
            details={"setting": setting, "value": value[:256]},
        )
        await self._audit.add(tx, event)


async def _settings_of(tx: TenantTransaction, device: UUID) -> dict[str, Scalar]:
    """Those of every device, and over them those of this one; what is not known any more is left."""
    rows = await tx.fetch(_SQL["all"], device)
    known = set(remote_settings())
    return {
        row["setting"]: msgspec.json.decode(row["value"], type=Scalar)
        for row in rows
        if row["setting"] in known
    }


def _require_sound(setting: str, value: Scalar) -> None:
    plain: Any = list(value) if isinstance(value, tuple) else value
    try:
        check_remote({setting: plain})
    except ConfigInvalidError as exc:
        problem = "; ".join(each.message for each in exc.problems)
        raise DEVICE_SETTING_REFUSED.error(setting=setting[:128], problem=problem) from exc


def _setting(row: Any) -> DeviceSetting:
    return DeviceSetting(
        setting=row["setting"],
        value=msgspec.Raw(row["value"].encode()),
        device=row["device_id"],
        changed_at=row["changed_at"],
        changed_by=row["changed_by"],
    )


def _configuration(row: Any) -> DeviceConfiguration:
    return DeviceConfiguration(
        device=row["device_id"],
        version=row["version"],
        used_version=row["used_version"],
        is_used=row["used_digest"] == row["digest"],
        problem=row["problem"],
        asked_at=row["asked_at"],
    )
