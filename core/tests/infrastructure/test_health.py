"""OBS-01 to 03, RESIL-10: what a process says about itself."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import pytest

from aitrading.core.infrastructure.error_handler import CallSite, ErrorHandler, RecoveryStrategy
from aitrading.core.infrastructure.health import (
    ComponentHealth,
    HealthRegistry,
    probe_app,
    publish_health,
)
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import CircuitBreaker, ResilienceRegistry
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

HALT = CallSite(
    name="test.halt",
    strategy=RecoveryStrategy.HALT,
    service="test",
    description="A test.",
    capability="ingest",
)
DEGRADE = CallSite(
    name="test.degrade", strategy=RecoveryStrategy.DEGRADE, service="test", description="A test."
)


class Part:
    def __init__(self, name: str, state: ComponentState = ComponentState.HEALTHY) -> None:
        self.name = name
        self.state = state


class Counts(msgspec.Struct):
    published: int
    last_error: str
    nested: dict[str, int]


class Telling(Part):
    def statistics(self) -> Counts:
        return Counts(published=5, last_error="none", nested={"a": 1})


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.resilience = ResilienceRegistry()
        self.errors = ErrorHandler(
            clock=self.clock,
            randomness=SeededRandomness(),
            metrics=self.metrics,
            resilience=self.resilience,
        )
        self.health = HealthRegistry(
            service="data-bridge",
            instance="i-1",
            version="0.1.0",
            clock=self.clock,
            resilience=self.resilience,
            errors=self.errors,
        )
        publish_health(self.health, self.metrics)

    async def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        return await call(
            probe_app(self.health, self.metrics), {"type": "http", "path": path, "method": method}
        )


async def call(
    app: Callable[..., Awaitable[None]], scope: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    await app(scope, receive, send)
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize(
    ("states", "overall", "ready"),
    [
        ([], "HEALTHY", True),
        (["HEALTHY", "HEALTHY"], "HEALTHY", True),
        (["HEALTHY", "DEGRADED"], "DEGRADED", True),
        (["STARTING", "DEGRADED"], "STARTING", False),
        (["HEALTHY", "STOPPING"], "STOPPING", False),
        (["STOPPED", "FAILED"], "FAILED", False),
    ],
)
def test_the_worst_critical_component_decides(
    house: House, states: list[str], overall: str, ready: bool
) -> None:
    for number, state in enumerate(states):
        house.health.watch(Part(f"part-{number}", ComponentState(state)))
    assert house.health.state().value == overall
    assert house.health.ready() is ready


def test_a_component_that_is_not_critical_only_degrades(house: House) -> None:
    house.health.watch(Part("cache", ComponentState.FAILED), critical=False)
    assert house.health.state() is ComponentState.DEGRADED
    assert house.health.ready()


def test_a_probe_that_breaks_counts_as_failed_and_is_reported(house: House) -> None:
    def broken() -> ComponentHealth:
        raise RuntimeError("the probe itself is broken")

    house.health.probe("odd", broken)
    report = house.health.report()
    assert report["components"]["odd"]["state"] == "FAILED"
    assert "broken" in report["components"]["odd"]["detail"]
    assert report["errors"][0]["code"] == "UNEXPECTED"


def test_resil_10_the_report_has_the_documented_shape(house: House) -> None:
    house.health.watch(Part("bus"))
    house.health.probe(
        "spool",
        lambda: ComponentHealth(
            state=ComponentState.DEGRADED, detail="80 % full", fields={"used_bytes": 80}
        ),
    )
    house.resilience.add(CircuitBreaker("database", clock=house.clock))
    house.errors.declare(DEGRADE)
    house.errors.classify(ConnectionError("down"))
    report = house.health.report()
    assert (report["service"], report["instance"]) == ("data-bridge", "i-1")
    assert (report["version"], report["state"]) == ("0.1.0", "DEGRADED")
    assert report["since"] == "2023-11-14T22:13:20.000000Z"
    assert report["components"]["spool"] == {
        "state": "DEGRADED",
        "critical": True,
        "detail": "80 % full",
        "fields": {"used_bytes": 80},
    }
    assert report["resilience"]["breaker"]["database"]["state"] == "CLOSED"
    assert report["resilience"]["recovery"]["test.degrade"]["acts"] == 0
    assert report["resilience"]["halted"] == {}
    assert report["errors"][0]["code"] == "CONNECTION_LOST"
    assert msgspec.json.decode(msgspec.json.encode(report)) == report


@async_test
async def test_a_halted_capability_makes_the_process_failed_and_not_ready() -> None:
    house = House()
    await house.errors.halt(HALT, "the disk is full")
    assert house.health.state() is ComponentState.FAILED
    assert not house.health.ready()
    assert house.health.report()["resilience"]["halted"]["ingest"]["reason"] == "the disk is full"
    assert b'aitrading_halted{capability="ingest"} 1.0' in house.metrics.render()
    house.errors.resume(HALT)
    assert house.health.ready()


@async_test
async def test_an_acting_call_site_degrades_the_process() -> None:
    house = House()

    async def fail() -> str:
        raise ConnectionError("down")

    async def substitute(_: Exception) -> str:
        return "last known"

    await house.errors.degrade(DEGRADE, fail, substitute)
    assert house.health.state() is ComponentState.DEGRADED
    assert house.health.ready()


def test_a_second_component_of_a_name_is_refused(house: House) -> None:
    house.health.watch(Part("bus"))
    with pytest.raises(ValueError, match="already"):
        house.health.watch(Part("bus"))


@async_test
async def test_obs_01_the_probe_endpoints_answer() -> None:
    house, part = House(), Part("bus")
    house.health.watch(part)
    assert (await house.get("/health/live"))[0] == 200
    assert (await house.get("/health/ready"))[0] == 200
    part.state = ComponentState.FAILED
    status, headers, body = await house.get("/health/ready")
    assert (status, headers["content-type"]) == (503, "application/json")
    assert msgspec.json.decode(body) == {
        "service": "data-bridge",
        "ready": False,
        "state": "FAILED",
    }
    assert (await house.get("/health/live"))[0] == 200
    status, headers, body = await house.get("/health")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert msgspec.json.decode(body)["components"]["bus"]["state"] == "FAILED"


@async_test
async def test_metrics_show_components_breakers_and_readiness() -> None:
    house = House()
    house.health.watch(Part("bus", ComponentState.DEGRADED))
    house.resilience.add(CircuitBreaker("database", clock=house.clock))
    status, headers, body = await house.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'aitrading_component_state{component="bus",state="DEGRADED"} 1.0' in body
    assert b'aitrading_breaker_state{breaker="database"} 0.0' in body
    assert b"aitrading_process_ready 1.0" in body
    assert b'kind="breaker",name="database",statistic="refused"} 0.0' in body


def test_what_a_component_counts_is_in_health_and_metrics(house: House) -> None:
    house.health.watch(Telling("bus"))
    assert house.health.report()["components"]["bus"]["fields"] == {
        "published": 5,
        "last_error": "none",
    }
    line = b'aitrading_component_statistic{component="bus",statistic="published"} 5.0'
    assert line in house.metrics.render()


@async_test
async def test_other_paths_and_methods_are_refused_and_head_has_no_body() -> None:
    house = House()
    assert (await house.get("/secret"))[0] == 404
    assert (await house.get("/health", "POST"))[0] == 405
    status, headers, body = await house.get("/health/live", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@async_test
async def test_the_application_takes_part_in_the_lifespan() -> None:
    house = House()
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return incoming.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await probe_app(house.health, house.metrics)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
