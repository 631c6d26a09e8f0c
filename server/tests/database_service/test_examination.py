"""The doctor's five steps on the five stores of a running service, and who is blamed for what."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from typing_extensions import override

from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.server.cli.doctor import _row
from aitrading.server.database_service.examination.examiner import Examiner
from aitrading.server.database_service.examination.port import (
    STORE_NOT_REACHABLE,
    Identity,
    StoreProbe,
)
from aitrading.server.database_service.examination.probes import identity_of_cache
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.bundle import ClickHouseAccess, ServerAccess
from aitrading.server.kit.examination_api import EXAMINE_PATH, STEPS, StoreExamination
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.supervisor.doctor.finding import Verdict
from aitrading.server.supervisor.doctor.stores import judge
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import running_valkey
from aitrading.server.testing.services import ServiceWorld
from aitrading.server.testing.weaviate import RunningWeaviate, weaviate_missing

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
FIVE = ["relational", "time series", "cache", "error vectors", "chains' graph"]


@asynccontextmanager
async def a_doctor(
    postgres: PostgresServer,
    folder: Path,
    *,
    vectors: ServerAccess | None = None,
    graph: ServerAccess | None = None,
) -> AsyncIterator[tuple[InternalClient, AsyncExitStack]]:
    """The host's client of a running service, and what runs its cache."""
    world = ServiceWorld(folder / "home")
    async with AsyncExitStack() as cache:
        valkey = await cache.enter_async_context(running_valkey(folder))
        bundle = world.bundle(
            "database-service",
            postgres={role: postgres.access(role) for role in ("migrator", "database")},
            valkey=valkey.access("database-service"),
            clickhouse=ClickHouseAccess(path=folder / "clickhouse"),
            vectors=vectors,
            graph=graph,
        )
        with world.start(bundle, "-m", "aitrading.server.database_service") as service:
            await service.until_ready()
            host = world.client("admin", service)
            try:
                yield host, cache
            finally:
                await host.close()


async def examined(host: InternalClient) -> dict[str, StoreExamination]:
    found = await host.request("POST", EXAMINE_PATH, timeout_s=60)
    return {
        each.store: each for each in msgspec.json.decode(found.body, type=list[StoreExamination])
    }


def failed(one: StoreExamination) -> list[str]:
    return [step.step for step in one.steps if step.state == "failed"]


class ToldProbe(StoreProbe):
    """A store that fails at one step."""

    store = "told"

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.done: list[str] = []

    def _do(self, step: str) -> None:
        if step == self.fails:
            raise STORE_NOT_REACHABLE.error(store=self.store, reason="the test says so")
        self.done.append(step)

    @override
    async def connect(self) -> None:
        self._do("connect")

    @override
    async def authenticate(self) -> Identity:
        self._do("authenticate")
        return Identity(adapter="Told 1", verified=True)

    @override
    async def write(self) -> None:
        self._do("write")

    @override
    async def read(self) -> None:
        self._do("read")

    @override
    async def delete(self) -> None:
        self._do("delete")


@pytest.mark.parametrize("step", STEPS)
@async_test
async def test_each_step_that_fails_is_named_with_its_remedy(step: str) -> None:
    sick, well = ToldProbe(step), ToldProbe("")
    first, second = await Examiner((sick, well), SystemClock()).examine()
    assert failed(first) == [step]
    assert not failed(second)
    assert well.done == list(STEPS)
    finding = judge(first)
    assert finding.verdict is Verdict.PROBLEM
    assert f"{step} failed" in finding.finding
    assert finding.remedy
    assert finding.code == "STORE_NOT_REACHABLE"
    assert _row(first)[2 + STEPS.index(step)] == "FAILED"
    if step == "read":
        assert sick.done[-1] == "delete", "what was written is deleted all the same"
    else:
        skipped = [each.step for each in first.steps if each.state == "skipped"]
        assert skipped == list(STEPS[STEPS.index(step) + 1 :])


@async_test
async def test_a_store_that_hangs_is_given_up_and_the_others_answer() -> None:
    class Hanging(ToldProbe):
        @override
        async def write(self) -> None:
            raise TimeoutError

    first, second = await Examiner((Hanging(""), ToldProbe("")), SystemClock()).examine()
    assert (failed(first), failed(second)) == (["write"], [])
    assert first.steps[2].code == "STORE_TOO_SLOW"


def test_dragonfly_and_unknown_versions_are_called_unverified() -> None:
    dragonfly = {"server": "redis", "version": "7.4.0", "dragonfly_version": "df-1.38.0"}
    assert not identity_of_cache(dragonfly).verified
    assert "UNVERIFIED" in identity_of_cache(dragonfly).note
    assert identity_of_cache({"server": "redis", "version": "7.0.15"}).verified
    assert identity_of_cache({"server": "valkey", "version": "9.1.2"}).verified
    assert not identity_of_cache({"server": "redis", "version": "8.0.1"}).verified
    told = judge(
        StoreExamination(
            store="cache", adapter="x", verified=False, note="UNVERIFIED: y", steps=()
        )
    )
    assert told.verdict is Verdict.UNVERIFIED
    assert "UNVERIFIED: y" in told.finding


@async_test
async def test_five_embedded_stores_are_asked_and_left_as_they_were(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with a_doctor(postgres, tmp_path) as (host, cache):
        for _ in range(2):
            found = await examined(host)
            assert list(found) == FIVE
            for one in found.values():
                assert not failed(one), one
                assert one.verified, one
        await cache.aclose()
        found = await examined(host)
        assert failed(found["cache"]) == ["connect"]
        assert "aitrading status" in judge(found["cache"]).remedy
        assert {name for name, one in found.items() if failed(one)} == {"cache"}


@pytest.mark.servers
@pytest.mark.xdist_group("weaviate")
@pytest.mark.skipif(bool(weaviate_missing()), reason=weaviate_missing())
@async_test
async def test_a_service_with_servers_by_url_uses_them_and_names_what_is_away(
    postgres: PostgresServer, tmp_path: Path, weaviate: RunningWeaviate
) -> None:
    nobody = ServerAccess(url=f"https://u:p@localhost:{free_port()}/trading")
    vectors = ServerAccess(url=weaviate.url)
    async with a_doctor(postgres, tmp_path, vectors=vectors, graph=nobody) as (host, _):
        found = await examined(host)
        assert not failed(found["error vectors"]), found["error vectors"]
        assert found["error vectors"].adapter == "Weaviate 1.39.0"
        assert found["error vectors"].verified
        assert all(step.state == "ok" for step in found["error vectors"].steps)
        assert failed(found["chains' graph"]) == ["connect"]
        assert found["chains' graph"].steps[0].code == "GRAPH_UNAVAILABLE"
        assert not found["chains' graph"].verified
        weaviate.front.refuse = True
        try:
            away = await examined(host)
        finally:
            weaviate.front.refuse = False
        assert failed(away["error vectors"]) == ["authenticate"]
        assert not failed(away["relational"])
