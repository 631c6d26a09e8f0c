"""A certificate of a public authority for browsers: `aitrading certificate install|show|remove`."""

import asyncio
from datetime import datetime

import msgspec

from aitrading.core.infrastructure.health import ComponentHealth
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import Clock, datetime_of_ns, rfc3339_of_ns
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.edge.assembly import site_of
from aitrading.server.api_gateway.edge.config import is_address
from aitrading.server.api_gateway.edge.keeper import EdgeKeeper
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.authority.errors import KEY_NOT_STORED
from aitrading.server.authority.site_certificates import (
    SiteCertificate,
    SiteCertificates,
    warns_from_ns,
)
from aitrading.server.authority.site_chain import require_showable, system_roots
from aitrading.server.authority.site_errors import SITE_REFUSALS
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import HOST_ACTOR, AuditEvent, AuditTrail
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction


class NewSite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chain, its certificate first, and the key; both PEM."""

    chain: str
    key: str


class ShownSite(msgspec.Struct, frozen=True, kw_only=True):
    """What browsers are shown; nothing is installed when there is no name."""

    names: tuple[str, ...] = ()
    """The names of `gateway.hosts` under which it is shown."""
    issuer: str = ""
    ends: datetime | None = None
    sha256: str = ""


class SiteEndpoints:
    """Takes, tells and gives back the site's certificate."""

    def __init__(
        self,
        site: SiteCertificates,
        settings: GatewaySettings,
        keeper: EdgeKeeper,
        replay: Replay,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._site = site
        self._settings = settings
        self._keeper = keeper
        self._replay = replay
        self._audit = audit
        self._clock = clock
        self._changing = asyncio.Lock()

    @endpoint("GET", f"{ADMIN_PATH}/certificate", access=ADMIN, answer=ShownSite)
    async def show(self, call: Call) -> ShownSite:
        """Tell which certificate of a public authority browsers are shown."""
        del call
        return self._shown(await asyncio.to_thread(self._site.current))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/certificate",
        access=ADMIN,
        body=NewSite,
        answer=ShownSite,
        errors=(*SITE_REFUSALS, KEY_NOT_STORED),
    )
    async def install(self, call: Call) -> ShownSite:
        """Show browsers this certificate from now on, if they can take it."""
        given = await call.json(NewSite)
        chain, key = given.chain.encode(), Secret(given.key.encode())
        hosts = [host for host in self._settings.hosts if not is_address(host)]
        async with self._changing:
            leaf = await asyncio.to_thread(
                require_showable, chain, key, hosts, self._clock.now_ns(), system_roots
            )
            await self._note(AuditAction.SITE_CERTIFICATE_INSTALLED, leaf.fingerprint)
            await asyncio.to_thread(self._site.install, chain, key)
            await self._keeper.look_again()
            return self._shown(self._site.current())

    @endpoint("DELETE", f"{ADMIN_PATH}/certificate", access=ADMIN, answer=ShownSite)
    async def remove(self, call: Call) -> ShownSite:
        """Show browsers the installation's own certificate again; tells which one went."""
        del call
        async with self._changing:
            before = await asyncio.to_thread(self._site.current)
            if before is not None:
                await self._note(AuditAction.SITE_CERTIFICATE_REMOVED, before.info.fingerprint)
                await asyncio.to_thread(self._site.remove)
                await self._keeper.look_again()
            return self._shown(before)

    def _shown(self, installed: SiteCertificate | None) -> ShownSite:
        if installed is None:
            return ShownSite()
        site = site_of(self._settings, installed)
        return ShownSite(
            names=site.names if site else (),
            issuer=installed.info.issuer_name,
            ends=datetime_of_ns(installed.info.validity.not_after_ns),
            sha256=installed.info.fingerprint,
        )

    async def _note(self, action: AuditAction, sha256: str) -> None:
        async def apply(tx: TenantTransaction) -> None:
            event = AuditEvent(
                actor=HOST_ACTOR, action=action, subject="edge", details={"sha256": sha256}
            )
            await self._audit.add(tx, event)

        await self._replay.once(PLATFORM, apply)


def site_health(installed: SiteCertificate | None, now_ns: int) -> ComponentHealth:
    """DEGRADED while a renewal is missing, and when the certificate has ended."""
    if installed is None or now_ns < warns_from_ns(installed.info.validity):
        return ComponentHealth(state=ComponentState.HEALTHY, critical=False)
    ends_ns = installed.info.validity.not_after_ns
    word = "ends" if now_ns < ends_ns else "ended"
    return ComponentHealth(
        state=ComponentState.DEGRADED,
        critical=False,
        detail=f"The certificate that browsers are shown {word} {rfc3339_of_ns(ends_ns)}: "
        "install the renewed one with `aitrading certificate install`.",
    )
