"""ErrorDNA at work: every error is classified, folded and counted, and recovery really acts.

One `ErrorHandler` per process. The five strategies are methods; each takes a `CallSite`, so that
its acts appear under that name in `/health` and in the metrics.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from aitrading.core.infrastructure.call_sites import CallSite, Guard, RecoveryStrategy
from aitrading.core.infrastructure.error_backlog import ErrorBacklog
from aitrading.core.infrastructure.error_dna import (
    UNEXPECTED,
    ErrorRecord,
    SimilarError,
    dna_of,
    message_of,
)
from aitrading.core.infrastructure.error_table import ErrorTable
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.infrastructure.recovery import Halt, RecoveryLedger, RecoveryStatistics
from aitrading.core.infrastructure.resilience import (
    Fallback,
    GuardPart,
    Isolation,
    ResilienceRegistry,
    Retry,
    RetryPolicy,
)
from aitrading.core.infrastructure.resilience.errors import ISOLATED
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Severity
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import bind_context, get_logger

__all__ = [
    "RECONNECT_FOREVER",
    "CallSite",
    "ErrorContext",
    "ErrorHandler",
    "ErrorRecord",
    "Guard",
    "Halt",
    "IsolationPolicy",
    "RecoveryStatistics",
    "RecoveryStrategy",
]

T = TypeVar("T")
G = TypeVar("G", bound=GuardPart)
HaltCallback = Callable[[Halt], Awaitable[None]]

RECONNECT_FOREVER: Final = RetryPolicy(
    attempts=None, retryable=lambda exc: isinstance(exc, Exception)
)
"""Reconnecting does not give up: a certificate or password may be renewed meanwhile."""

ERRORS_TOTAL: Final = Metric(
    name="aitrading_errors_total",
    kind=MetricKind.COUNTER,
    help="Errors by stable code; repeats included.",
    labels=("code", "severity"),
)
ERRORS_FORGOTTEN: Final = Metric(
    name="aitrading_errors_forgotten_total",
    kind=MetricKind.COUNTER,
    help="Errors that were not kept, because too many kinds of them waited to be.",
)

_log = get_logger(__name__)


class ErrorContext(msgspec.Struct, frozen=True):
    """Whose work it is that runs now."""

    tenant: str | None = None
    trace_id: str | None = None


class IsolationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """After how many faults in a row a key is kept out, and for how long."""

    faults_limit: int = 3
    isolate_s: float = 60.0


class ErrorHandler:
    """Classifies errors and recovers from them; belongs to one event loop."""

    def __init__(
        self,
        *,
        clock: Clock,
        randomness: Randomness,
        metrics: Metrics,
        resilience: ResilienceRegistry,
        context: Callable[[], ErrorContext] = ErrorContext,
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._metrics = metrics
        self._resilience = resilience
        self._context = context
        self._table = ErrorTable()
        self.backlog = ErrorBacklog()
        metrics.add_source(lambda: [Reading(ERRORS_FORGOTTEN, self.backlog.forgotten)])
        self._ledger = RecoveryLedger(clock=clock, metrics=metrics)
        self._retries: dict[str, Retry] = {}
        self._fallbacks: dict[str, Fallback] = {}
        self._isolations: dict[str, Isolation] = {}
        self._guards: dict[str, list[GuardPart]] = {}
        self._halts: dict[str, Halt] = {}
        self._halt_callbacks: dict[str, list[HaltCallback]] = {}

    def classify(
        self, exc: BaseException, *, tenant: str | None = None, trace_id: str | None = None
    ) -> ErrorRecord:
        """Count the error among its kind and give what is known about it.

        Tenant and trace are those of the running work unless given. The first of its kind and
        every tenth power is logged; the repeats between are only counted.
        """
        context = self._context()
        dna, now_ns = dna_of(exc), self._clock.now_ns()
        tenant, trace_id = tenant or context.tenant, trace_id or context.trace_id
        record = self._table.fold(
            dna, message=message_of(exc), tenant=tenant, trace_id=trace_id, now_ns=now_ns
        )
        self.backlog.note(dna, tenant=tenant, trace_id=trace_id, now_ns=now_ns)
        self._metrics.increment(ERRORS_TOTAL, code=dna.code, severity=dna.severity)
        if _is_power_of_ten(record.count):
            _write_log(record, exc)
        return record

    def latest(self, limit: int = 20) -> list[ErrorRecord]:
        """The most recently seen errors, newest first."""
        return self._table.latest(limit, self._clock.now_ns())

    def recognise(self, fingerprint: str, similar: tuple[SimilarError, ...]) -> None:
        """Attach what is known of earlier errors like one that happened here."""
        self._table.recognise(fingerprint, similar)

    def declare(self, *sites: CallSite) -> None:
        """Show these sites in health before they first act."""
        for site in sites:
            self._ledger.declare(site)

    def recovery_report(self) -> dict[str, RecoveryStatistics]:
        """What every call site did, by name."""
        return self._ledger.report()

    async def retry(
        self,
        site: CallSite,
        operation: Callable[[], Awaitable[T]],
        policy: RetryPolicy | None = None,
    ) -> T:
        """Repeat a failing operation as the policy says.

        Raises RETRIES_EXHAUSTED, or the operation's own error where a repeat is useless.
        """
        self._expect(site, RecoveryStrategy.RETRY)
        return await self._repeat(site, operation, policy or RetryPolicy())

    async def reconnect(
        self,
        site: CallSite,
        connect: Callable[[], Awaitable[T]],
        policy: RetryPolicy = RECONNECT_FOREVER,
    ) -> T:
        """Connect again until it succeeds; the site is active meanwhile.

        Every attempt counts as an act, the last one too.
        """
        self._expect(site, RecoveryStrategy.RECONNECT)
        self._ledger.begin(site)
        try:
            connection = await self._repeat(site, connect, policy)
        finally:
            self._ledger.end(site)
        self._ledger.act(site)
        return connection

    async def degrade(
        self,
        site: CallSite,
        operation: Callable[[], Awaitable[T]],
        substitute: Callable[[Exception], Awaitable[T]],
    ) -> T:
        """Answer with the substitute while the operation fails; refusals pass through."""
        self._expect(site, RecoveryStrategy.DEGRADE)
        fallback = self._fallbacks.get(site.name)
        if fallback is None:
            fallback = self._resilience.add(Fallback(site.name, clock=self._clock))
            self._fallbacks[site.name] = fallback

        async def lesser(exc: Exception) -> T:
            self._ledger.begin_while(site, lambda: fallback.is_acting)
            self._ledger.act(site, self.classify(exc).code)
            return await substitute(exc)

        return await fallback.run(operation, lesser)

    async def isolate(
        self,
        site: CallSite,
        key: str,
        operation: Callable[[], Awaitable[T]],
        policy: IsolationPolicy | None = None,
    ) -> T:
        """Run for a key, and keep the key out for a time after faults in a row.

        The fault itself is raised; a call for an isolated key raises ISOLATED without running.
        """
        self._expect(site, RecoveryStrategy.ISOLATE)
        isolation = self._isolation(site, policy or IsolationPolicy())
        before = isolation.times_isolated
        try:
            return await isolation.run(key, operation)
        except Exception as exc:
            code = self.classify(exc).code
            refused = isinstance(exc, AitradingError) and exc.spec is ISOLATED
            if refused or isolation.times_isolated > before:
                self._ledger.act(site, code)
                self._ledger.begin_while(site, isolation.keeps_any_out)
            raise

    async def halt(self, site: CallSite, reason: str) -> None:
        """Stop a capability: it is FAILED in health and its callbacks have run on return.

        Halting what is halted changes nothing. A failing callback does not keep the others from
        running: its error is classified.
        """
        self._expect(site, RecoveryStrategy.HALT)
        capability = site.capability or site.name
        if capability in self._halts:
            return
        halt = Halt(
            capability=capability, site=site.name, reason=reason, since_ns=self._clock.now_ns()
        )
        self._halts[capability] = halt
        self._ledger.begin(site)
        self._ledger.act(site, reason)
        _log.critical("%s is halted: %s", capability, reason)
        for callback in self._halt_callbacks.get(capability, []):
            try:
                await callback(halt)
            except Exception as exc:  # noqa: BLE001 - the other callbacks must still run
                self.classify(exc)

    def guard(self, site: CallSite, part: G) -> G:
        """Register a breaker, bulkhead or fallback: what it does is done at this site.

        Several parts may stand at one site, one for each peer; it is active while any of them is.
        """
        if part.kind != site.strategy:
            raise ValueError(f"call site {site.name!r} is declared as {site.strategy}")
        self._ledger.declare(site)
        parts = self._guards.setdefault(site.name, [])
        parts.append(self._resilience.add(part))

        def acted(cause: Exception | None) -> None:
            self._ledger.act(site, dna_of(cause).code if cause else None)
            self._ledger.begin_while(site, lambda: any(one.is_acting for one in parts))

        part.on_act = acted
        return part

    def on_halt(self, capability: str, callback: HaltCallback) -> None:
        """Run the callback when the capability is halted."""
        self._halt_callbacks.setdefault(capability, []).append(callback)

    def resume(self, site: CallSite) -> None:
        """End a halt after its cause is gone; resuming what runs changes nothing."""
        if self._halts.pop(site.capability or site.name, None) is not None:
            self._ledger.end(site)

    @property
    def halts(self) -> dict[str, Halt]:
        """What is halted now, by capability."""
        return dict(self._halts)

    async def _repeat(
        self, site: CallSite, operation: Callable[[], Awaitable[T]], policy: RetryPolicy
    ) -> T:
        retry = self._retries.get(site.name)
        if retry is None:
            retry = self._resilience.add(
                Retry(site.name, policy, clock=self._clock, randomness=self._randomness)
            )
            self._retries[site.name] = retry
        elif retry.policy != policy:
            raise ValueError(f"call site {site.name!r} was used with another policy before")

        def on_failure(exc: Exception) -> None:
            self._ledger.act(site, self.classify(exc).code)

        return await retry.run(operation, on_failure=on_failure)

    def _isolation(self, site: CallSite, policy: IsolationPolicy) -> Isolation:
        isolation = self._isolations.get(site.name)
        if isolation is None:
            isolation = Isolation(
                site.name,
                clock=self._clock,
                faults_limit=policy.faults_limit,
                isolate_s=policy.isolate_s,
            )
            self._isolations[site.name] = self._resilience.add(isolation)
        return isolation

    def _expect(self, site: CallSite, strategy: RecoveryStrategy) -> None:
        if site.strategy is not strategy:
            raise ValueError(f"call site {site.name!r} is declared as {site.strategy}")
        self._ledger.declare(site)


def _is_power_of_ten(count: int) -> bool:
    while count % 10 == 0:
        count //= 10
    return count == 1


def _write_log(record: ErrorRecord, exc: BaseException) -> None:
    """One line under the error's own code; a traceback only for what nobody foresaw."""
    write = {
        Severity.DEBUG: _log.debug,
        Severity.INFO: _log.info,
        Severity.WARNING: _log.warning,
        Severity.ERROR: _log.error,
        Severity.CRITICAL: _log.critical,
    }[record.severity]
    with bind_context(tenant=record.tenant, trace_id=record.trace_id):
        write(
            "%s",
            record.message,
            error=exc,
            error_code=record.code,
            fingerprint=record.fingerprint,
            count=record.count,
            exc_info=exc if record.code == UNEXPECTED.code else None,
        )
