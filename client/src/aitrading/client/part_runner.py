"""Keeps one part of the client running: its own health on its own port, started again when it fails.

A part that fails takes nothing else with it: the connector goes on, and the client is DEGRADED
until the part works again.
"""

from collections.abc import Callable
from typing import Final, Protocol

from aitrading.client.probe_server import ProbeServer
from aitrading.core.infrastructure.error_handler import RECONNECT_FOREVER, ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger

LASTING_NS: Final = 60 * NS_PER_S
"""A part that worked for this long begins anew with the shortest pause."""
PART_RESTARTS: Final = Metric(
    name="aitrading_client_part_restarts_total",
    kind=MetricKind.COUNTER,
    help="How often a part of the client failed and was started again.",
    labels=("part",),
)

_log = get_logger(__name__)


class Part(Protocol):
    """One part; `run` returns only by raising."""

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        ...

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class PartRunner:
    """A component of the client that runs a part; `make` gives a fresh one for each start."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Part],
        *,
        port: int,
        health: HealthRegistry,
        metrics: Metrics,
        errors: ErrorHandler,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.last_error: str | None = None
        self.probe_error: str | None = None
        self.part: Part | None = None
        self._make = make
        self._probes = ProbeServer(port, health, metrics)
        self._metrics = metrics
        self._errors = errors
        self._clock = clock
        self._randomness = randomness
        self._tasks = TaskSet(name)
        self._state = ComponentState.NEW
        health.watch(self)

    @property
    def state(self) -> ComponentState:
        """FAILED between a failure and the next start, else what the part says."""
        if self._state is ComponentState.HEALTHY and self.part is not None:
            state = self.part.state
            if state is ComponentState.HEALTHY and self.probe_error is not None:
                return ComponentState.DEGRADED
            return state
        return self._state

    @property
    def port(self) -> int:
        """Where its health is."""
        return self._probes.port

    def statistics(self) -> dict[str, FieldValue]:
        """For health: the part's own figures, and how often it failed."""
        own = self.part.statistics() if self.part is not None else {}
        return {
            **own,
            "restarts": self.restarts,
            "failed_by": self.last_error,
            "probe_error": self.probe_error,
        }

    async def start(self) -> None:
        """Answer about health and run the part; a port that is taken keeps nobody from working."""
        self._metrics.increment(PART_RESTARTS, 0, part=self.name)
        try:
            await self._probes.start()
        except AitradingError as exc:
            self._errors.classify(exc)
            self.probe_error = exc.code
        self._tasks.start(self._run(), name="run")

    async def stop(self) -> None:
        """End the part, then its health."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        await self._probes.stop()
        self._state = ComponentState.STOPPED

    async def _run(self) -> None:
        failures = 0
        while True:
            began_ns = self._clock.monotonic_ns()
            try:
                self.part = self._make()
                self._state = ComponentState.HEALTHY
                await self.part.run()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the other parts go on
                self.last_error = self._errors.classify(exc).code
            lasted = self._clock.monotonic_ns() - began_ns >= LASTING_NS
            failures = 1 if lasted else failures + 1
            self._state = ComponentState.FAILED
            self.restarts += 1
            self._metrics.increment(PART_RESTARTS, part=self.name)
            wait_s = RECONNECT_FOREVER.delay_s(failures, self._randomness)
            _log.error(
                "part failed", part=self.name, error_code=self.last_error, again_in_s=wait_s
            )
            await self._clock.sleep(wait_s)
