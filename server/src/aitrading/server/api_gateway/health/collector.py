"""Asks every service how it is, again and again, so that a request never has to wait for that."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.central_hub import CentralHub
from aitrading.core.infrastructure.chain_registry import ChainHealth
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.resilience import Known
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.api_gateway.call_sites import HEALTH_LAST_KNOWN, PEER_BREAKER
from aitrading.server.api_gateway.health.build import Knowledge, build_report, chain_line
from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.api_gateway.health.sources import PeerSource, SupervisorSource
from aitrading.server.dashboard.report import ChainLine, PlatformReport, fault_of

_log = get_logger(__name__)


class PlatformHealth(LoopingComponent):
    """A component; `report()` answers at once from what was learnt last."""

    critical: ClassVar[bool] = False

    def __init__(
        self,
        peers: Sequence[PeerSource],
        supervisor: SupervisorSource,
        *,
        own: HealthRegistry,
        hub: CentralHub,
        clock: Clock,
        errors: ErrorHandler,
        period_s: float,
    ) -> None:
        super().__init__("platform-health", on_error=errors.classify)
        self._peers = peers
        self._supervisor = supervisor
        self._own = own
        self._hub = hub
        self._clock = clock
        self._period_s = period_s
        self._known: dict[str, Known[PeerReport] | None] = {peer.name: None for peer in peers}
        self._failed_chains: set[str] = set()
        errors.declare(PEER_BREAKER, HEALTH_LAST_KNOWN)

    @override
    async def start(self) -> None:
        """Begin to ask; returns before anybody answered."""
        self._tasks.keep(self._keep_asking, name="ask", clock=self._clock)
        self._state = ComponentState.HEALTHY

    def report(self) -> PlatformReport:
        """The whole house as it is known now."""
        return build_report(
            Knowledge(
                now_ns=self._clock.now_ns(),
                peers={**self._known, self._own.service: self._ourselves()},
                supervisor=self._supervisor.look(),
                chains=self._chains(),
                registry_stale_since_ns=self._hub.stale_since_ns,
            )
        )

    def chain(self, name: str) -> ChainLine:
        """One chain; raises CHAIN_UNKNOWN with the name that was probably meant."""
        return chain_line(self._hub.chains.health(name))

    @property
    def known(self) -> Mapping[str, Known[PeerReport] | None]:
        """What each peer said last."""
        return dict(self._known)

    async def ask_once(self) -> None:
        """Ask every peer, all at the same time."""
        async with asyncio.TaskGroup() as group:
            for peer in self._peers:
                group.create_task(self._ask(peer), name=peer.name)

    async def _keep_asking(self) -> None:
        while True:
            began_ns = self._clock.monotonic_ns()
            await self.ask_once()
            self._tell_failures()
            spent_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
            await self._clock.sleep(max(0.05, self._period_s - spent_s))

    async def _ask(self, peer: PeerSource) -> None:
        try:
            self._known[peer.name] = await peer.look()
        except AitradingError:
            # Nothing was ever known: the report says so, and the breaker counts the failure.
            return

    def _chains(self) -> tuple[ChainHealth, ...]:
        chains = self._hub.chains
        return tuple(chains.health(chain.name) for chain in chains.definitions())

    def _tell_failures(self) -> None:
        """Each round, so that the log and `since` tell of a chain at which nobody looked."""
        failed = {chain.name for chain in self._chains() if chain.state is ComponentState.FAILED}
        for name in sorted(failed - self._failed_chains):
            _log.error("chain failed", chain=name, fault=fault_of(self.chain(name)))
        for name in sorted(self._failed_chains - failed):
            _log.info("chain has not failed any more", chain=name)
        self._failed_chains = failed

    def _ourselves(self) -> Known[PeerReport]:
        report = msgspec.convert(self._own.report(), PeerReport)
        return Known(value=report, known_at_ns=self._clock.now_ns(), stale_since_ns=None)
