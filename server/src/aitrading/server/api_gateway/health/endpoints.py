"""`/api/v1/health`, `/services` and `/chains`: how the house is."""

import msgspec

from aitrading.core.infrastructure.error_codes import CHAIN_UNKNOWN
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.health.collector import PlatformHealth
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.dashboard.report import (
    ChainLine,
    GuardLine,
    PartLine,
    PlatformReport,
    TradingLine,
)
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import PUBLIC, endpoint, peers, scope
from aitrading.server.kit.limit_levels import LimitKind

HOST = peers(ADMIN_SERVICE)


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs, and what guards them."""

    now: str
    items: tuple[PartLine, ...]
    engines: tuple[PartLine, ...]
    clients: tuple[PartLine, ...]
    guards: tuple[GuardLine, ...]


class Chains(msgspec.Struct, frozen=True, kw_only=True):
    """Every chain with its hops."""

    now: str
    items: tuple[ChainLine, ...]


class HealthEndpoints:
    """What anybody may know is the status; the rest needs a token with scope `read`."""

    def __init__(self, health: PlatformHealth, authenticator: Authenticator) -> None:
        self._health = health
        self._authenticator = authenticator

    @endpoint(
        "GET",
        "/api/v1/health",
        timeout_s=5,
        access=PUBLIC,
        limit=LimitKind.HEALTH,
        summary="How the platform is; with a token also its services, engines and chains.",
        answer=PlatformReport,
    )
    async def health(self, call: Call) -> PlatformReport:
        """Answer from what is known; parts that did not answer are marked with their age."""
        report = self._health.report()
        return for_users(report) if await self._may_read(call) else _outside(report)

    @endpoint(
        "GET",
        "/api/v1/services",
        timeout_s=5,
        access=scope(Scope.READ),
        summary="Services, engines and clients with state, process and memory, and all guards.",
        answer=Services,
    )
    async def services(self, _: Call) -> Services:
        """Answer from what is known."""
        report = self._health.report()
        return Services(
            now=report.now,
            items=report.services,
            engines=report.engines,
            clients=report.clients,
            guards=report.guards,
        )

    @endpoint(
        "GET",
        "/api/v1/chains",
        timeout_s=5,
        access=scope(Scope.READ),
        summary="Every chain: latency and health of each hop in the last minute.",
        answer=Chains,
    )
    async def chains(self, _: Call) -> Chains:
        """Answer from the merged measurements of all processes."""
        report = for_users(self._health.report())
        return Chains(now=report.now, items=report.chains)

    @endpoint(
        "GET",
        "/api/v1/chains/{chain}",
        access=scope(Scope.READ),
        summary="One chain.",
        answer=ChainLine,
        errors=(CHAIN_UNKNOWN,),
    )
    async def chain(self, call: Call) -> ChainLine:
        """Answer, or say which name was probably meant."""
        return without_traces(self._health.chain(call.path("chain")))

    @endpoint(
        "GET", "/internal/v1/admin/platform", access=HOST, answer=PlatformReport, timeout_s=5
    )
    async def platform(self, call: Call) -> PlatformReport:
        """Everything that is known, for the host's administrator."""
        del call
        return self._health.report()

    @endpoint(
        "GET",
        "/internal/v1/admin/chains/{chain}",
        access=HOST,
        answer=ChainLine,
        errors=(CHAIN_UNKNOWN,),
    )
    async def chain_for_host(self, call: Call) -> ChainLine:
        """One chain, for the host's administrator."""
        return self._health.chain(call.path("chain"))

    async def _may_read(self, call: Call) -> bool:
        try:
            await self._authenticator.person(call.head, Scope.READ)
        except AitradingError:
            return False
        return True


def _outside(report: PlatformReport) -> PlatformReport:
    return PlatformReport(
        now=report.now,
        status=report.status,
        trading=TradingLine(state=report.trading.state, reason=""),
    )


def for_users(report: PlatformReport) -> PlatformReport:
    """What a person of any organisation may see: no trace of another organisation's data."""
    chains = tuple(without_traces(chain) for chain in report.chains)
    return msgspec.structs.replace(report, chains=chains)


def without_traces(chain: ChainLine) -> ChainLine:
    """A chain is shared by all organisations; the last trace belongs to one of them."""
    hops = tuple(msgspec.structs.replace(hop, last_trace_id=None) for hop in chain.hops)
    return msgspec.structs.replace(chain, hops=hops)
