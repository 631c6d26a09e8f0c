"""From everybody's metrics to an answer, over the real stores and the services' own listeners."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from typing_extensions import override

from aitrading.core.infrastructure.central_hub import CentralHub, ServiceRecord
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.health.readings import PROCESS_INFO, PROCESS_UPTIME
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.service_registry import MemoryRegistryStore
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_UNAVAILABLE
from aitrading.server.database_service.metrics_history.catalogue import Catalogue
from aitrading.server.database_service.metrics_history.exposition import TextReader
from aitrading.server.database_service.metrics_history.keeper import HistoryKeeper
from aitrading.server.database_service.metrics_history.metrics import ANSWERED, DROPPED, REFUSED
from aitrading.server.database_service.metrics_history.place import make_history_place
from aitrading.server.database_service.metrics_history.question import MetricQuestion
from aitrading.server.database_service.metrics_history.reader import HistoryReader
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.shapes import MetricHistory, MetricStep
from aitrading.server.database_service.metrics_history.sources import Heard, Sources
from aitrading.server.database_service.metrics_history.store_postgres import PostgresPointStore
from aitrading.server.kit.bundle import TOLD_FRESH_S, HttpListener, ServiceBundle
from aitrading.server.kit.database_errors import DATABASE_CONNECTION_LOST
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving, tls_of

World = Callable[..., AbstractAsyncContextManager[Any]]
BEGAN_S = SystemClock().now_ns() // (3_600 * NS_PER_S) * 3_600 - 7_200
"""A whole hour, near enough that no store forgets it at once."""
COUNTED = Metric(name="test_counted_total", kind=MetricKind.COUNTER, help="x", labels=("route",))
LEVEL = Metric(name="test_level", kind=MetricKind.GAUGE, help="x")
TOOK = Metric(name="test_took_s", kind=MetricKind.HISTOGRAM, help="x", buckets=(0.1, 1.0))

pytestmark = pytest.mark.integration
BOTH = pytest.mark.parametrize("alone", [False, True], ids=["clickhouse", "postgres"])


class Process:
    """A service as its text tells it."""

    def __init__(self, service: str, instance: str = "1") -> None:
        self.service = service
        self.metrics = Metrics()
        self.instance = instance
        self.metrics.set(PROCESS_INFO, 1, service=service, instance=instance, version="1")
        self.metrics.set(PROCESS_UPTIME, 1)

    def heard(self) -> Heard:
        return Heard(self.service, TextReader().read(self.service, self.metrics.render()))


class Script(Sources):
    """Who answers in a round is what the test says."""

    def __init__(self) -> None:
        self.processes: Sequence[Process] = ()

    @override
    async def hear(self) -> list[Heard]:
        return [each.heard() for each in self.processes]

    @override
    async def close(self) -> None:
        pass


class Room:
    """A keeper and a reader over one store, and rounds by hand."""

    def __init__(self, world: Any, name: str, *, alone: bool, limit: int = 2_000) -> None:
        self.world = world
        self.service = f"s{uuid5(NAMESPACE_OID, name).hex[:12]}"
        self.sources = Script()
        self.settings = HistorySettings(series_per_service=limit)
        self.clock = ManualClock(start_ns=BEGAN_S * NS_PER_S)
        self.metrics = Metrics()
        self.place = make_history_place(
            StoreSettings(postgres_alone=alone), world.clickhouse, world.pool, world.guards
        )
        self.begin()

    def begin(self) -> None:
        """As a new process does."""
        self.catalogue = Catalogue(self.world.pool, self.settings.series_per_service)
        self.keeper = HistoryKeeper(
            self.place,
            self.catalogue,
            self.sources,
            self.settings,
            self.clock,
            self.world.errors,
            self.metrics,
        )
        self.reader = HistoryReader(
            self.place, self.catalogue, self.world.guards, self.settings, self.clock
        )

    async def round(self, *processes: Process) -> None:
        self.sources.processes = processes
        await self.keeper.round(self.clock.now_ns() // NS_PER_S)
        await self.clock.advance(self.settings.sample_s)

    async def history(self, metric: Metric, step_s: int = 15, **more: Any) -> MetricHistory:
        asked = MetricQuestion(
            name=metric.name, service=self.service, from_s=BEGAN_S, step_s=step_s, **more
        )
        return await self.reader.history(asked)

    async def steps(self, metric: Metric, step_s: int = 15) -> list[MetricStep]:
        found = await self.history(metric, step_s)
        assert len(found.series) == 1
        return found.series[0].steps


async def fresh_room(
    world: Any, request: pytest.FixtureRequest, *, alone: bool = False, limit: int = 2_000
) -> Room:
    """Nothing stored yet: all tests share one PostgreSQL."""
    await PostgresPointStore(world.pool).forget(1 << 40)
    return Room(world, request.node.nodeid, alone=alone, limit=limit)


def grown(steps: Sequence[MetricStep]) -> "list[float | None]":
    return [None if each.gap else each.increase for each in steps]


@async_test
@BOTH
async def test_a_counter_survives_a_restart_and_a_dead_service_is_a_gap(
    world: World, alone: bool, request: pytest.FixtureRequest
) -> None:
    async with world(alone=alone) as here:
        room = await fresh_room(here, request, alone=alone)
        first, second = Process(room.service, "1"), Process(room.service, "2")
        first.metrics.increment(COUNTED, 10, route="/x")
        await room.round(first)
        await room.round(first)  # nothing happened, but it was seen
        await room.round()  # nobody answered
        second.metrics.increment(COUNTED, 4, route="/x")
        await room.round(second)
        second.metrics.increment(COUNTED, 1, route="/x")
        await room.round(second)
        await room.clock.advance(60)
        steps = await room.steps(COUNTED)
        assert grown(steps)[:5] == [10, 0, None, 4, 1]
        assert grown(steps)[5:] == [None] * (len(steps) - 5), "nobody looked any more"
        assert [step.per_second for step in steps[:2]] == [pytest.approx(10 / 15), 0]
        whole = (await room.history(COUNTED, 300)).series[0].whole
        assert whole is not None
        assert (whole.increase, whole.seen) == (15, pytest.approx(4 * 15 / 300))
        found = await room.history(COUNTED, 300)
        assert (found.resolution, found.kind) == ("5m", "counter")


@async_test
@BOTH
async def test_levels_and_distributions_are_told_step_by_step(
    world: World, alone: bool, request: pytest.FixtureRequest
) -> None:
    async with world(alone=alone) as here:
        room = await fresh_room(here, request, alone=alone)
        process = Process(room.service)
        for level, took in ((5, (0.05, 0.05)), (1, (0.5,)), (3, ())):
            process.metrics.set(LEVEL, level)
            for value in took:
                process.metrics.observe(TOOK, value)
            await room.round(process)
        for step_s in (60, 300):
            level = (await room.steps(LEVEL, step_s))[0]
            told = level.lowest, level.highest, level.average, level.last
            assert told == (1, 5, 3, 3)
        took = await room.steps(TOOK)
        assert [step.count for step in took] == [2, 1, 0]
        assert [step.average for step in took] == [
            pytest.approx(0.05),
            pytest.approx(0.5),
            None,
        ]
        found = (await room.history(TOOK, quantiles=(0.5, 0.99))).series[0]
        assert found.whole is not None
        assert found.whole.quantiles == {"0.5": pytest.approx(0.075), "0.99": pytest.approx(0.973)}


@async_test
@BOTH
async def test_another_keeper_counts_what_grew_while_nobody_looked(
    world: World, alone: bool, request: pytest.FixtureRequest
) -> None:
    async with world(alone=alone) as here:
        room = await fresh_room(here, request, alone=alone)
        process = Process(room.service)
        process.metrics.increment(COUNTED, 10, route="/x")
        await room.round(process)
        await room.clock.advance(30)
        process.metrics.increment(COUNTED, 7, route="/x")
        process.metrics.set(PROCESS_UPTIME, 60)
        room.begin()
        await room.round(process)
        assert grown(await room.steps(COUNTED)) == [10, None, None, 7]


class Unsure:
    """A store that stores, or does not, and then says that it failed."""

    def __init__(self, real: Any, *, stores: bool) -> None:
        self._real, self._stores = real, stores

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def write(self, at_s: int, points: Any) -> None:
        if self._stores:
            await self._real.write(at_s, points)
        raise CLICKHOUSE_UNAVAILABLE.error(reason="the answer was lost")


@async_test
@BOTH
@pytest.mark.parametrize("stores", [True, False])
async def test_a_write_that_was_not_answered_counts_once(
    world: World, alone: bool, stores: bool, request: pytest.FixtureRequest
) -> None:
    async with world(alone=alone) as here:
        room = await fresh_room(here, request, alone=alone)
        process = Process(room.service)
        process.metrics.increment(COUNTED, 10, route="/x")
        await room.round(process)
        process.metrics.increment(COUNTED, 5, route="/x")
        good, room.keeper._place = (
            room.place,
            room.place._replace(store=Unsure(room.place.store, stores=stores)),
        )
        await room.round(process)
        room.keeper._place = good
        process.metrics.increment(COUNTED, 1, route="/x")
        await room.round(process)
        steps = await room.steps(COUNTED)
        assert grown(steps) == ([10, 5, 1] if stores else [10, None, 6])
        assert f"{DROPPED.name} " in room.metrics.render().decode()


@async_test
async def test_a_label_that_takes_ever_new_values_is_stopped(
    world: World, request: pytest.FixtureRequest
) -> None:
    async with world() as here:
        room = await fresh_room(here, request, limit=100)
        process = Process(room.service)
        for number in range(150):
            process.metrics.increment(COUNTED, 1, route=f"/{number}")
        await room.round(process)
        await room.round(process)
        assert room.catalogue.size_of(room.service) == 101, "and the one that says it was seen"
        text = room.metrics.render().decode()
        assert f'{REFUSED.name}{{service="{room.service}"}}' in text
        assert "METRIC_SERIES_LIMIT" in here.metrics.render().decode()
        await room.clock.advance(3 * 86_400)
        fresh = Process(room.service, "2")
        fresh.metrics.increment(COUNTED, 1, route="/new")
        await room.round(fresh)
        found = {dict(s.labels).get("route") for s in room.catalogue if s.service == room.service}
        assert "/new" in found, "a series nobody saw for days gives way"
        assert room.catalogue.size_of(room.service) == 101


class Forgetful(Catalogue):
    """Its PostgreSQL is away."""

    @override
    async def save(self) -> None:
        raise DATABASE_CONNECTION_LOST.error()


@async_test
async def test_points_are_stored_while_their_names_cannot_be(
    world: World, request: pytest.FixtureRequest
) -> None:
    async with world() as here:
        room = await fresh_room(here, request)
        catalogue = room.catalogue
        room.catalogue.__class__ = Forgetful
        process = Process(room.service)
        process.metrics.increment(COUNTED, 10, route="/x")
        await room.round(process)
        assert grown(await room.steps(COUNTED)) == [10]
        catalogue.__class__ = Catalogue
        await room.round(process)
        room.begin()
        await room.catalogue.load()
        assert grown(await room.steps(COUNTED)) == [10, 0], "the names came after"


@async_test
async def test_a_clock_that_is_set_back_tells_no_moment_twice(
    world: World, request: pytest.FixtureRequest
) -> None:
    async with world() as here:
        room = await fresh_room(here, request)
        process = Process(room.service)
        process.metrics.increment(COUNTED, 1, route="/x")
        await room.round(process)
        await room.round(process)
        room.clock.step_wall(-15)
        process.metrics.increment(COUNTED, 1, route="/x")
        await room.round(process)
        await room.round(process)
        assert grown(await room.steps(COUNTED)) == [1, 0, 1]


@async_test
async def test_a_question_about_what_is_not_known_says_what_is(
    world: World, request: pytest.FixtureRequest
) -> None:
    async with world() as here:
        room = await fresh_room(here, request)
        process = Process(room.service)
        process.metrics.increment(COUNTED, 1, route="/x")
        await room.round(process)

        async def refusal(**asked: Any) -> AitradingError:
            with pytest.raises(AitradingError) as caught:
                await room.reader.history(MetricQuestion(**asked))
            return caught.value

        unknown = await refusal(name="test_countd_total", service=room.service)
        assert (unknown.code, COUNTED.name in unknown.message) == ("METRIC_UNKNOWN", True)
        nobody = await refusal(name=COUNTED.name, service="nobody")
        assert (nobody.code, room.service in nobody.message) == ("METRIC_SERVICE_UNKNOWN", True)
        labels = await refusal(name=COUNTED.name, service=room.service, labels={"route": "/y"})
        assert (labels.code, "route:/x" in labels.message) == ("METRIC_LABELS_UNKNOWN", True)
        names = room.reader.names(room.service).items
        assert [(each.name, each.kind, each.series, each.labels) for each in names][-1] == (
            COUNTED.name,
            "counter",
            1,
            ("route",),
        )


@pytest.fixture
def hub() -> Iterator[Callable[[Any], CentralHub]]:
    CentralHub.reset_for_tests()

    def make(errors: Any) -> CentralHub:
        clock = SystemClock()
        return CentralHub(
            store=MemoryRegistryStore(),
            clock=clock,
            config=ConfigManager.load((), environ={}),
            errors=errors,
            chains=ChainRegistry(clock=clock, service="x", instance="x"),
        )

    yield make
    CentralHub.reset_for_tests()


@asynccontextmanager
async def asking(
    server: InProcessServer, hub: CentralHub, told: Path
) -> AsyncIterator[SimpleNamespace]:
    bundle = ServiceBundle(
        service="database-service",
        instance="database-service-1",
        version="1",
        environment="development",
        home=server.home,
        demo=False,
        tls=tls_of(server.files("database-service")),
        listener=HttpListener(socket=server.home / "d.sock", host="127.0.0.1", port=0),
        control_fd=None,
        peers={},
        service_keys=server.authority.service_keys_file,
        user_keys=server.authority.user_keys_file,
        told=told,
    )
    metrics = Metrics()
    sources = Sources(bundle, hub, HistorySettings(), SystemClock(), server.errors, metrics)
    try:
        yield SimpleNamespace(sources=sources, metrics=metrics)
    finally:
        await sources.close()


async def register(hub: CentralHub, name: str, port: int | str) -> None:
    now_ns = SystemClock().now_ns()
    await hub.register(
        ServiceRecord(
            name=name,
            instance=f"{name}-1",
            address=f"127.0.0.1:{port}",
            version="1",
            state=ComponentState.HEALTHY,
            lease_until_ns=now_ns,
            started_ns=now_ns,
        )
    )


@async_test
async def test_everybody_the_hub_knows_is_asked_and_must_prove_who_it_is(
    hub: Callable[[Any], CentralHub], tmp_path: Path
) -> None:
    with socket_folder() as home:
        server = InProcessServer(Path(home), "desk", SystemClock())
        server.metrics.increment(COUNTED, 3, route="/x")
        known = hub(server.errors)
        async with asking(server, known, tmp_path) as asked:
            async with serving(server, []):
                await register(known, "desk", server.port)
                await register(known, "impostor", server.port)
                await register(known, "lost", "nowhere")
                await register(known, "Bad Name\0", server.port)
                heard = {each.service: each.snapshot for each in await asked.sources.hear()}
                assert set(heard) == {"database-service", "desk"}
                assert any(r.series.name == COUNTED.name for r in heard["desk"].readings)
            (gone,) = [each.service for each in await asked.sources.hear()]
            assert gone == "database-service"
            text = asked.metrics.render().decode()
            for service, answered in (("desk", 0), ("impostor", 0), ("database-service", 1)):
                assert f'{ANSWERED.name}{{service="{service}"}} {answered}.0' in text


@async_test
async def test_what_has_no_listener_is_read_while_its_file_is_fresh(
    hub: Callable[[Any], CentralHub], tmp_path: Path
) -> None:
    with socket_folder() as home:
        server = InProcessServer(Path(home), "desk", SystemClock())
        metrics = Metrics()
        metrics.set(LEVEL, 7)
        (tmp_path / "supervisor.prom").write_bytes(metrics.render())
        (tmp_path / "envoy.prom").write_bytes(b"not { prometheus\n")
        async with asking(server, hub(server.errors), tmp_path) as asked:
            heard = [each.service for each in await asked.sources.hear()]
            assert heard == ["database-service", "supervisor"]
            old_s = SystemClock().now_ns() / NS_PER_S - TOLD_FRESH_S - 1
            os.utime(tmp_path / "supervisor.prom", (old_s, old_s))
            heard = [each.service for each in await asked.sources.hear()]
            assert heard == ["database-service"]
