"""Dependency injection: the graph is right before anything is made, and all of it is undone."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from inspect import Parameter, Signature
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.import_manager import Container, ImportManager, Scope, lazy
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock

ALPHA, BETA = TenantId(UUID(int=1)), TenantId(UUID(int=2))


class Store(Protocol):
    def name(self) -> str: ...


class DiskStore:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def name(self) -> str:
        return "disk"


class Repository:
    def __init__(self, store: Store) -> None:
        self.store = store


class Service:
    def __init__(self, repository: Repository, clock: Clock) -> None:
        self.repository = repository
        self.clock = clock


class TenantDesk:
    def __init__(self, tenant: TenantId, service: Service) -> None:
        self.tenant = tenant
        self.service = service


class RequestLog:
    def __init__(self, service: Service) -> None:
        self.service = service


class Ping:
    def __init__(self, pong: "Pong") -> None: ...


class Pong:
    def __init__(self, table: "Table") -> None: ...


class Table:
    def __init__(self, ping: Ping) -> None: ...


def platform() -> ImportManager:
    manager = ImportManager()
    manager.provide(Service)
    manager.provide(Repository)
    manager.provide(DiskStore, provides=Store)
    manager.value(Clock, SystemClock())
    manager.provide(TenantDesk, scope=Scope.TENANT)
    manager.provide(RequestLog, scope=Scope.REQUEST)
    return manager


def refusal(manager: ImportManager) -> AitradingError:
    with pytest.raises(AitradingError) as refused:
        manager.build()
    return refused.value


@async_test
async def test_inf_09_makes_what_is_asked_for_with_its_dependencies_once() -> None:
    async with platform().build() as container:
        service = await container.get(Service)
        assert isinstance(service.repository.store, DiskStore)
        assert service.clock is service.repository.store.clock
        assert await container.get(Service) is service


@async_test
async def test_concurrent_requests_for_one_thing_make_it_once() -> None:
    made: list[int] = []

    async def slow_store() -> DiskStore:
        made.append(1)
        await asyncio.sleep(0)
        return DiskStore(SystemClock())

    manager = platform()
    manager.override(Store, slow_store)
    async with manager.build() as container, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(container.get(Store))
    assert made == [1]


@async_test
async def test_scopes_nest_and_tenants_do_not_share() -> None:
    async with platform().build() as container:
        async with container.tenant(ALPHA) as alpha, container.tenant(BETA) as beta:
            desk = await alpha.get(TenantDesk)
            other = await beta.get(TenantDesk)
            assert (desk.tenant, other.tenant) == (ALPHA, BETA)
            assert desk.service is other.service
            async with alpha.request() as first, alpha.request() as second:
                assert await first.get(TenantDesk) is desk
                assert await first.get(RequestLog) is not await second.get(RequestLog)
        with pytest.raises(AitradingError) as refused:
            await container.get(TenantDesk)
        assert refused.value.code == "IMPORT_DEPENDENCY_MISSING"
        async with container.request() as request:
            with pytest.raises(AitradingError, match="TenantDesk"):
                await request.get(TenantDesk)


@pytest.mark.parametrize("order", [(Service, Repository), (Repository, Service)])
def test_inf_16_a_missing_dependency_is_told_with_the_whole_path(order: tuple[type, ...]) -> None:
    manager = ImportManager()
    for kind in order:
        manager.provide(kind)
    manager.value(Clock, SystemClock())
    error = refusal(manager)
    assert error.code == "IMPORT_DEPENDENCY_MISSING"
    assert error.fields["path"] == "Service → Repository → Store"


def test_a_narrower_scope_is_named_as_the_cause() -> None:
    class Keeper:
        def __init__(self, log: RequestLog) -> None: ...

    manager = platform()
    manager.provide(Keeper)
    error = refusal(manager)
    assert error.fields["missing"] == "RequestLog"
    assert "narrower scope REQUEST" in error.message


def test_a_circular_dependency_is_told_with_its_path() -> None:
    manager = ImportManager()
    for kind in (Ping, Pong, Table):
        manager.provide(kind)
    error = refusal(manager)
    assert error.code == "IMPORT_DEPENDENCY_CYCLE"
    assert error.fields["path"] == "Ping → Pong → Table → Ping"


def test_nothing_is_made_by_building() -> None:
    def explode() -> DiskStore:
        raise AssertionError("made too early")

    manager = platform()
    manager.override(Store, explode)
    manager.build()


@async_test
async def test_a_test_overrides_what_it_wants() -> None:
    manager = platform()
    clock = ManualClock()
    manager.override_value(Clock, clock)
    async with manager.build() as container:
        assert (await container.get(Service)).clock is clock
    with pytest.raises(AitradingError) as refused:
        manager.override(int, int)
    assert refused.value.code == "IMPORT_NOTHING_TO_OVERRIDE"


def test_a_second_provider_of_one_type_is_refused() -> None:
    manager = platform()
    with pytest.raises(AitradingError, match="provided twice") as refused:
        manager.provide(DiskStore, provides=Store)
    assert refused.value.code == "IMPORT_PROVIDER_DUPLICATE"


def untyped(store):  # noqa: ANN001, ANN201
    return store


@pytest.mark.parametrize("source", [untyped, lambda: 3, lazy("json:loads")])
def test_a_provider_that_says_too_little_is_refused(source: Any) -> None:
    with pytest.raises(AitradingError) as refused:
        ImportManager().provide(source)
    assert refused.value.code == "IMPORT_GRAPH_INVALID"


class Diary:
    """Providers that note their making and undoing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def pool(self) -> AsyncIterator[Store]:
        self.lines.append("+pool")
        yield DiskStore(SystemClock())
        self.lines.append("-pool")

    def repository(self, store: Store) -> Iterator[Repository]:
        self.lines.append("+repository")
        yield Repository(store)
        self.lines.append("-repository")

    async def service(self, repository: Repository, clock: Clock) -> AsyncIterator[Service]:
        self.lines.append("+service")
        yield Service(repository, clock)
        self.lines.append("-service")

    async def broken_service(self, repository: Repository) -> Service:
        del repository
        raise ConnectionRefusedError("no service today")

    async def stubborn_repository(self, store: Store) -> AsyncIterator[Repository]:
        yield Repository(store)
        raise OSError("cannot close")

    def manager(self) -> ImportManager:
        manager = ImportManager()
        manager.value(Clock, SystemClock())
        manager.provide(self.service)
        manager.provide(self.repository)
        manager.provide(self.pool)
        return manager


@async_test
async def test_everything_is_undone_in_reverse() -> None:
    diary = Diary()
    async with diary.manager().build() as container:
        await container.get(Service)
    assert diary.lines == ["+pool", "+repository", "+service", "-service", "-repository", "-pool"]


@async_test
async def test_what_was_made_for_a_failing_one_is_undone_too() -> None:
    diary = Diary()
    manager = diary.manager()
    manager.override(Service, diary.broken_service)
    with pytest.raises(ConnectionRefusedError):
        async with manager.build() as container:
            await container.get(Service)
    assert diary.lines == ["+pool", "+repository", "-repository", "-pool"]


@async_test
async def test_one_failing_clean_up_does_not_keep_the_others_from_running() -> None:
    diary = Diary()
    manager = diary.manager()
    manager.override(Repository, diary.stubborn_repository)
    container = manager.build()
    await container.get(Service)
    with pytest.raises(ExceptionGroup) as failed:
        await container.close()
    assert [str(exc) for exc in failed.value.exceptions] == ["cannot close"]
    assert diary.lines == ["+pool", "+service", "-service", "-pool"]


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "heavy_thing.py").write_text(
        "from collections.abc import AsyncIterator\n"
        "log = []\n"
        "class Thing:\n"
        "    def __init__(self, clock): self.clock = clock\n"
        "async def opened(clock):\n"
        "    log.append('opened'); yield Thing(clock); log.append('closed')\n"
        "def entered(clock):\n"
        "    log.append('opened'); yield Thing(clock); log.append('closed')\n"
        "async def made(clock):\n"
        "    return Thing(clock)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("heavy_thing", None)


@pytest.mark.usefixtures("heavy")
@pytest.mark.parametrize("attribute", ["Thing", "opened", "entered", "made"])
@async_test
async def test_a_lazy_provider_is_imported_when_it_is_needed(attribute: str) -> None:
    manager = ImportManager()
    manager.value(Clock, SystemClock())
    manager.provide(lazy(f"heavy_thing:{attribute}", clock=Clock), provides=object)
    async with manager.build() as container:
        assert "heavy_thing" not in sys.modules
        thing: Any = await container.get(object)
        assert isinstance(thing.clock, SystemClock)
        log: list[str] = sys.modules["heavy_thing"].log
    assert log == (["opened", "closed"] if attribute in ("opened", "entered") else [])


@pytest.mark.usefixtures("heavy")
def test_the_dependencies_of_a_lazy_provider_are_checked_without_importing_it() -> None:
    manager = ImportManager()
    manager.provide(lazy("heavy_thing:Thing", clock=Clock), provides=object)
    assert refusal(manager).fields["path"] == "object → Clock"
    assert "heavy_thing" not in sys.modules


@pytest.mark.parametrize("target", ["no_such_module:x", "json", "json.nothing:x", ":x", "json:"])
def test_a_lazy_provider_that_cannot_exist_is_told_at_the_start(target: str) -> None:
    manager = ImportManager()
    manager.provide(lazy(target), provides=object)
    error = refusal(manager)
    assert error.code == "IMPORT_LAZY_FAILED"
    assert target in error.message


@async_test
async def test_a_missing_attribute_is_told_when_it_is_imported() -> None:
    manager = ImportManager()
    manager.provide(lazy("json:no_such_thing"), provides=object)
    async with manager.build() as container:
        with pytest.raises(AitradingError, match="no_such_thing") as refused:
            await container.get(object)
        assert refused.value.code == "IMPORT_LAZY_FAILED"


TYPES = [type(f"T{number}", (), {}) for number in range(7)]
GRAPHS = st.lists(st.sets(st.integers(0, 6), max_size=3), min_size=1, max_size=7)


@given(GRAPHS)
def test_any_graph_is_either_refused_or_can_make_everything(graph: list[set[int]]) -> None:
    manager = ImportManager()
    for number, needs in enumerate(graph):
        manager.provide(maker(number, needs), provides=TYPES[number])
    built = built_or_refused(manager)
    if isinstance(built, AitradingError):
        assert built.code in {"IMPORT_DEPENDENCY_MISSING", "IMPORT_DEPENDENCY_CYCLE"}
        path = [int(name.removeprefix("T")) for name in str(built.fields["path"]).split(" → ")]
        assert all(needed in graph[user] for user, needed in pairwise(path))
    else:
        asyncio.run(make_all(built, len(graph)))


def built_or_refused(manager: ImportManager) -> Container | AitradingError:
    try:
        return manager.build()
    except AitradingError as exc:
        return exc


async def make_all(container: Container, count: int) -> None:
    async with container:
        for kind in TYPES[:count]:
            assert isinstance(await container.get(kind), kind)


def maker(number: int, needs: set[int]) -> Any:
    def make(**_: object) -> object:
        return TYPES[number]()

    make.__annotations__ = {f"p{needed}": TYPES[needed] for needed in sorted(needs)}
    make.__signature__ = Signature(
        [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind)
            for name, kind in make.__annotations__.items()
        ]
    )
    return make
