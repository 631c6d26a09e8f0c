"""The ledger of recovery: what each call site did, and what is halted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from aitrading.core.infrastructure.call_sites import CallSite
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import Clock

MAX_SITES: Final = 500

RECOVERY_ACTS: Final = Metric(
    name="aitrading_recovery_acts_total",
    kind=MetricKind.COUNTER,
    help="How often a call site acted on a fault: repeated, reconnected, degraded, isolated, "
    "halted; a breaker opened, a bulkhead refused, a fallback answered.",
    labels=("site", "strategy"),
)


class RecoveryStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What one call site did; `active` tells that it is acting on a fault right now."""

    strategy: str
    service: str
    acts: int
    active: bool
    active_since_ns: int | None
    last_act_ns: int | None
    last_error: str | None


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """A capability that was stopped on purpose, and stays so until it is resumed."""

    capability: str
    site: str
    reason: str
    since_ns: int


@dataclass
class _Account:
    site: CallSite
    acts: int = 0
    still_active: Callable[[], bool] | None = None
    active_since_ns: int | None = None
    last_act_ns: int | None = None
    last_error: str | None = None


class RecoveryLedger:
    """Counts the acts of every declared or used call site."""

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._accounts: dict[str, _Account] = {}

    def declare(self, site: CallSite) -> None:
        """Show the site from now on; its name belongs to one site only."""
        account = self._accounts.get(site.name)
        if account is None:
            if len(self._accounts) >= MAX_SITES:
                raise ValueError(f"more than {MAX_SITES} call sites: declare them as constants")
            self._accounts[site.name] = _Account(site)
            self._metrics.increment(RECOVERY_ACTS, 0, site=site.name, strategy=str(site.strategy))
        elif account.site != site:
            raise ValueError(f"two different call sites are named {site.name!r}")

    def act(self, site: CallSite, cause: str | None = None) -> None:
        """Count one act; `cause` is the code of the error or the reason, where there is one."""
        account = self._accounts[site.name]
        account.acts += 1
        account.last_act_ns = self._clock.now_ns()
        account.last_error = cause or account.last_error
        self._metrics.increment(RECOVERY_ACTS, site=site.name, strategy=str(site.strategy))

    def begin(self, site: CallSite) -> None:
        """The site is acting from now on."""
        account = self._accounts[site.name]
        if account.active_since_ns is None:
            account.active_since_ns = self._clock.now_ns()

    def begin_while(self, site: CallSite, still_active: Callable[[], bool]) -> None:
        """The site is acting from now on, until the function says no."""
        account = self._refreshed(site.name)
        self.begin(site)
        account.still_active = still_active

    def end(self, site: CallSite) -> None:
        """The site acts no more."""
        self._accounts[site.name].active_since_ns = None

    def report(self) -> dict[str, RecoveryStatistics]:
        """Every site by name."""
        return {name: _statistics(self._refreshed(name)) for name in sorted(self._accounts)}

    def _refreshed(self, name: str) -> _Account:
        account = self._accounts[name]
        if account.still_active is not None and not account.still_active():
            account.active_since_ns = account.still_active = None
        return account


def _statistics(account: _Account) -> RecoveryStatistics:
    return RecoveryStatistics(
        strategy=str(account.site.strategy),
        service=account.site.service,
        acts=account.acts,
        active=account.active_since_ns is not None,
        active_since_ns=account.active_since_ns,
        last_act_ns=account.last_act_ns,
        last_error=account.last_error,
    )
