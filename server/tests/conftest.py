"""Real engines shared by the tests of the server: started on first use, gone at the end."""

from collections.abc import Callable, Iterator

import pytest

from aitrading.server.engines.shared import EngineLoop, PostgresServer
from aitrading.server.testing.engines import running_postgres
from aitrading.server.testing.personal_data import runner_for


@pytest.fixture(scope="session")
def engine_loop() -> Iterator[EngineLoop]:
    loop = EngineLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def postgres_server(
    engine_loop: EngineLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    manager = running_postgres(tmp_path_factory.mktemp("engines"))
    engine = engine_loop.enter(manager)
    yield PostgresServer(engine, engine_loop)
    engine_loop.leave(manager)


@pytest.fixture(scope="session")
def migrate(postgres_server: PostgresServer, engine_loop: EngineLoop) -> Callable[[str], None]:
    def run(database: str) -> None:
        engine_loop.run(runner_for(postgres_server.access("migrator", database)).apply())

    return run


@pytest.fixture(scope="session")
def postgres(postgres_server: PostgresServer, migrate: Callable[[str], None]) -> PostgresServer:
    """The server with every migration of the platform applied to its main database."""
    migrate("aitrading")
    return postgres_server
