"""What a device is told whose link may not be, and what its organisation's audit trail is."""

from typing import Final

from aitrading.core.infrastructure.resilience.errors import ISOLATED
from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.core.protocol.error_codes import (
    LINK_DEVICE_REFUSED,
    LINK_DEVICE_SHARED,
    LINK_DEVICES_FULL,
    LINK_OVERLOADED,
    LINK_SHARE_FULL,
)
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.rate_limiter import RATE_LIMIT_EXCEEDED
from aitrading.server.data_bridge.rights import REFUSALS, STANDING
from aitrading.server.data_bridge.settings import BridgeSettings
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.denials import Denial, Denials

RETRY_REFUSED_MS: Final = 10_000
RETRY_SHARED_MS: Final = 30_000
LINK_SUBJECT: Final = "GET /link"


class LinkRefusals:
    """Words for the device, and a note for the audit trail: of who was not let in, folded.

    The edge proved the certificate, so the organisation is no stranger's claim. Nothing is noted of
    what is no denial: full, too often, or trouble of our own.
    """

    def __init__(self, denials: Denials, settings: BridgeSettings) -> None:
        self._denials = denials
        self._settings = settings

    def told(self, exc: AitradingError) -> tuple[ErrorSpec, int] | None:
        """The error and after how many ms to come again; None for trouble of our own."""
        if exc.spec is ISOLATED:
            return LINK_DEVICE_REFUSED, round(self._settings.isolate_s * 1_000)
        if exc.spec is RATE_LIMIT_EXCEEDED:
            return LINK_OVERLOADED, RETRY_REFUSED_MS
        if exc.spec is LINK_DEVICE_SHARED:
            quiet_ms = round(self._settings.shared_quiet_s * 1_000)
            return exc.spec, min(RETRY_SHARED_MS, quiet_ms)
        if exc.spec in (*REFUSALS, LINK_DEVICES_FULL, LINK_SHARE_FULL):
            return exc.spec, RETRY_REFUSED_MS
        return None

    def note(self, device: DeviceIdentity, address: str, exc: AitradingError) -> None:
        """Note a link that was denied, and why."""
        if exc.spec not in (*REFUSALS, ISOLATED):
            return
        self._denials.note(
            Denial(
                action=AuditAction.DEVICE_LINK_REFUSED,
                tenant=device.tenant,
                actor=f"device:{device.device}",
                subject=LINK_SUBJECT,
                reason=str(exc.fields.get(STANDING, exc.code.lower())),
                address=address,
            )
        )
