"""Where services keep things: embedded engines, or servers given by URL, in any mixture."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aitrading.core.security.db_security_manager import Store, StoreTarget, accept_url
from aitrading.server.engines.any_answer import (
    NATS_GREETING,
    POSTGRES_GREETING,
    VALKEY_GREETING,
    AnyAnswer,
)
from aitrading.server.engines.nats import NatsEngine, NatsSetup, SubjectRights
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import NAME as POSTGRES
from aitrading.server.engines.postgres import PostgresEngine, PostgresFolders
from aitrading.server.engines.valkey import NAME as VALKEY
from aitrading.server.engines.valkey import ValkeyEngine, ValkeyFolders
from aitrading.server.kit.bundle import (
    ClickHouseAccess,
    NatsAccess,
    PostgresAccess,
    PostgresAddress,
    ServerAccess,
    TlsFiles,
    ValkeyAccess,
)
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.policy import bus_policy
from aitrading.server.supervisor.bundles import ADMIN, SERVICE_NAMES, Stores, tls_files
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.identities import Identities
from aitrading.server.supervisor.plan import RECOVERY_LIMIT_S, ChildSpec, Kind

SERVER_VARIABLES: Final[Mapping[str, Store]] = {
    "POSTGRES_URL": Store.POSTGRES,
    "CLICKHOUSE_URL": Store.CLICKHOUSE,
    "DRAGONFLYDB_URL": Store.CACHE,
    "WEAVIATE_URL": Store.VECTORS,
    "ARANGODB_URL": Store.GRAPH,
    "NATS_URL": Store.BUS,
}
"""Environment variables that replace an embedded engine by a server."""
MIGRATOR: Final = "migrator"
BUS_RIGHTS: Final = {
    name: SubjectRights(
        publish=(*bus_policy().everybody, *bus_policy().publish.get(name, ())),
        subscribe=bus_policy().subscribe,
    )
    for name in SERVICE_NAMES
}
"""Who may say what on the bus, as `bus.toml` says."""


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Which engines run here, and how services reach every store."""

    engines: tuple[ChildSpec, ...]
    access: Stores
    bus: NatsEngine | None
    """None where the bus is a server given by URL."""
    bus_users: dict[str, SubjectRights]
    """Read each time the embedded bus's configuration is written."""


@dataclass(frozen=True, kw_only=True)
class GivenServer:
    """A server as it was given; the URL may hold a password and goes into bundles only."""

    url: str = field(repr=False)
    target: StoreTarget


def given_servers(environ: Mapping[str, str]) -> dict[Store, GivenServer]:
    """Accept the servers named in the environment; raises for plaintext or a malformed URL."""
    return {
        store: GivenServer(url=environ[variable], target=accept_url(store, environ[variable]))
        for variable, store in SERVER_VARIABLES.items()
        if environ.get(variable)
    }


class StorePlan:
    """Chooses, store by store, between the embedded engine and a given server."""

    def __init__(
        self,
        home: Home,
        passwords: PasswordStore,
        identities: Identities,
        servers: Mapping[Store, GivenServer],
        settings: StoreSettings,
        *,
        guests: Mapping[str, SubjectRights],
    ) -> None:
        self._bus_users = {**BUS_RIGHTS, **guests}
        self._bus: NatsEngine | None = None
        self._home = home
        self._settings = settings
        self._passwords = passwords
        self._identities = identities
        self._servers = servers

    def keeping(self, nats_port: int) -> Keeping:
        """Engines to run and access for bundles."""
        engines: list[ChildSpec] = []
        access = Stores(
            postgres=self._postgres(engines),
            valkey=self._valkey(engines),
            nats=self._nats(engines, nats_port),
            clickhouse=self._clickhouse(),
            vectors=self._server(Store.VECTORS),
            graph=self._server(Store.GRAPH),
        )
        return Keeping(
            engines=tuple(engines), access=access, bus=self._bus, bus_users=self._bus_users
        )

    def _postgres(self, engines: list[ChildSpec]) -> Callable[[str], PostgresAccess]:
        given = self._servers.get(Store.POSTGRES)
        if given is not None:
            record = self._home.primary_record
            return lambda role: _postgres_server(given.target, role, self._passwords, record)
        folders = PostgresFolders(
            data_root=self._home.postgres, socket_folder=self._home.run / "pg"
        )
        engine = PostgresEngine(folders, self._passwords)
        socket = folders.socket_folder / f".s.PGSQL.{folders.port}"
        engines.append(
            ChildSpec(
                name=engine.name,
                kind=Kind.ENGINE,
                program=engine,
                alive=AnyAnswer(greeting=POSTGRES_GREETING, socket=socket),
                busy_limit_s=RECOVERY_LIMIT_S,
            )
        )
        return engine.access

    def _valkey(self, engines: list[ChildSpec]) -> Callable[[str], ValkeyAccess]:
        given = self._servers.get(Store.CACHE)
        if given is not None:
            return lambda service: _cache_server(
                given, service, self._passwords, tls_files(self._home, service)
            )
        folders = ValkeyFolders(data_root=self._home.valkey, run_folder=self._home.run)
        engine = ValkeyEngine(folders, self._passwords, services=SERVICE_NAMES)
        if not self._settings.postgres_alone:
            socket = folders.run_folder / "valkey.sock"
            engines.append(
                ChildSpec(
                    name=engine.name,
                    kind=Kind.ENGINE,
                    program=engine,
                    alive=AnyAnswer(greeting=VALKEY_GREETING, socket=socket),
                    busy_limit_s=RECOVERY_LIMIT_S,
                )
            )
        return engine.access

    def _nats(self, engines: list[ChildSpec], port: int) -> Callable[[str], NatsAccess]:
        given = self._servers.get(Store.BUS)
        if given is not None:
            return lambda service: NatsAccess(
                url=f"tls://{given.target.host}:{given.target.port}",
                user=service,
                password=self._passwords.get("nats", service).reveal(),
            )
        setup = NatsSetup(
            data_root=self._home.nats,
            run_folder=self._home.run,
            port=port,
            server_tls=tls_files(self._home, "nats"),
            probe_tls=tls_files(self._home, ADMIN),
            users=self._bus_users,
        )
        engine = self._bus = NatsEngine(setup, self._passwords)
        engines.append(
            ChildSpec(
                name=engine.name,
                kind=Kind.ENGINE,
                program=engine,
                port=port,
                gate=self._identities.wait,
                renew_signal=signal.SIGHUP,
                alive=AnyAnswer(greeting=NATS_GREETING, port=port),
                busy_limit_s=RECOVERY_LIMIT_S,
            )
        )
        return engine.access

    def _clickhouse(self) -> ClickHouseAccess:
        given = self._servers.get(Store.CLICKHOUSE)
        if given is None:
            return ClickHouseAccess(path=self._home.clickhouse)
        return ClickHouseAccess(url=given.url)

    def _server(self, store: Store) -> ServerAccess | None:
        given = self._servers.get(store)
        return None if given is None else ServerAccess(url=given.url)


def _cache_server(
    given: GivenServer, service: str, passwords: PasswordStore, tls: TlsFiles
) -> ValkeyAccess:
    """The URL's own login when it has one, else each service logs in as itself."""
    target = given.target
    if target.user is not None and target.password is not None:
        user, password = target.user, target.password
    else:
        user, password = service, passwords.get(VALKEY, service)
    return ValkeyAccess(user=user, password=password.reveal(), url=given.url, tls=tls)


def _postgres_server(
    target: StoreTarget, role: str, passwords: PasswordStore, record: Path
) -> PostgresAccess:
    """The URL's own login is the migrator's; every other role logs in as itself."""
    own = role == MIGRATOR and target.user is not None and target.password is not None
    password = target.password if own and target.password else passwords.get(POSTGRES, role)
    return PostgresAccess(
        host=target.host,
        port=target.port,
        database=target.database or "aitrading",
        user=target.user if own and target.user else role,
        password=password.reveal(),
        tls=True,
        ca=target.ca_file,
        others=tuple(PostgresAddress(host, port) for host, port in target.others),
        primary_record=record,
    )
