"""Bundles: what each service is told, and nothing more than it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aitrading.core.kit.ids import IdFactory
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.process import CONTROL_FD
from aitrading.server.kit.bundle import (
    ClickHouseAccess,
    HttpListener,
    NatsAccess,
    PeerAddress,
    PostgresAccess,
    ServerAccess,
    ServiceBundle,
    TlsFiles,
    ValkeyAccess,
    encode_bundle,
)
from aitrading.server.personal_data.file_keys import FILES_FOLDER
from aitrading.server.personal_data.masters import FOLDER
from aitrading.server.supervisor.home import Home

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class ServiceNeeds:
    """One service: how it is run, whom it waits for, which doors are opened for it."""

    name: str
    module: str
    depends_on: tuple[str, ...]
    port_setting: str
    postgres_roles: tuple[str, ...] = ()
    analysis: bool = False
    """Whether it is the one service that reaches ClickHouse, the error vectors and the graph."""
    websocket: bool = False
    personal_data: bool = False
    """Whether it reads or seals personal data and so gets the keys."""
    file_keys: bool = False
    """Whether it writes sealed files, or rotates their keys."""


SERVICES = (
    ServiceNeeds(
        name="database-service",
        module="aitrading.server.database_service",
        depends_on=("postgres", "valkey", "nats"),
        port_setting="database_service",
        postgres_roles=("migrator", "database"),
        personal_data=True,
        file_keys=True,
        analysis=True,
    ),
    ServiceNeeds(
        name="api-gateway",
        module="aitrading.server.api_gateway",
        depends_on=("postgres", "valkey", "nats", "database-service"),
        port_setting="api_gateway",
        postgres_roles=("identity",),
        personal_data=True,
        file_keys=True,
    ),
    ServiceNeeds(
        name="data-bridge",
        module="aitrading.server.data_bridge",
        depends_on=("nats", "api-gateway"),
        port_setting="data_bridge",
        websocket=True,
        file_keys=True,
    ),
    ServiceNeeds(
        name="trading-engine",
        module="aitrading.server.trading_engine",
        depends_on=("postgres", "nats", "database-service"),
        port_setting="trading_engine",
        postgres_roles=("trading",),
        personal_data=True,
    ),
)
ADMIN = "admin"
"""The supervisor's own identity towards services."""
SERVICE_NAMES = tuple(service.name for service in SERVICES)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """How services reach their stores: embedded engines or servers given by URL."""

    postgres: Callable[[str], PostgresAccess]
    valkey: Callable[[str], ValkeyAccess]
    nats: Callable[[str], NatsAccess]
    clickhouse: ClickHouseAccess
    vectors: ServerAccess | None
    graph: ServerAccess | None


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What all bundles of one start have in common."""

    home: Home
    version: str
    environment: str
    demo: bool
    ports: Mapping[str, int]
    """By name of the service."""
    settings: Mapping[str, str]


def service_socket(home: Home, service: str) -> Path:
    """Where a service answers the edge and the supervisor."""
    return home.run / f"{service}.sock"


def tls_files(home: Home, name: str) -> TlsFiles:
    """Where the authority writes the identity of a service."""
    return TlsFiles(
        certificate=home.bundles / f"{name}.crt.pem",
        private_key=home.bundles / f"{name}.key.pem",
        ca=home.bundles / "internal-ca.pem",
    )


class BundleWriter:
    """Writes `run/bundles/<service>.json`."""

    def __init__(self, installation: Installation, stores: Stores, ids: IdFactory) -> None:
        self._installation = installation
        self._stores = stores
        self._ids = ids

    def write(self, needs: ServiceNeeds) -> Path:
        """Write the bundle of a new instance of a service; returns its path."""
        path = self._installation.home.bundles / f"{needs.name}.json"
        replace_private(path, encode_bundle(self._bundle(needs)))
        return path

    def write_guest(self, name: str, port: int) -> Path:
        """Write the bundle of a service that the operator runs: the bus, and no other store."""
        common = self._common(name, port)
        guest = msgspec.structs.replace(common, nats=self._stores.nats(name))
        replace_private(self.path(name), encode_bundle(guest))
        return self.path(name)

    def path(self, name: str) -> Path:
        """Where the bundle of a service is."""
        return self._installation.home.bundles / f"{name}.json"

    def socket(self, name: str) -> Path:
        """Where the edge looks for a service."""
        return service_socket(self._installation.home, name)

    def remove(self, name: str) -> None:
        """Take the bundle, the identity and the socket of a service away."""
        files = tls_files(self._installation.home, name)
        token_key = self.path(name).with_suffix(".key")
        socket = self.socket(name)
        for path in (self.path(name), files.private_key, files.certificate, token_key, socket):
            path.unlink(missing_ok=True)

    def write_admin(self) -> ServiceBundle:
        """Write the supervisor's own bundle: peers and identity, no store."""
        bundle = self._common(ADMIN, 0)
        path = self._installation.home.bundles / f"{ADMIN}.json"
        replace_private(path, encode_bundle(bundle))
        return bundle

    def _bundle(self, needs: ServiceNeeds) -> ServiceBundle:
        common = self._common(needs.name, self._installation.ports[needs.name])
        home, stores = self._installation.home, self._stores
        return msgspec.structs.replace(
            common,
            control_fd=CONTROL_FD,
            websocket_socket=home.run / f"{needs.name}-ws.sock" if needs.websocket else None,
            field_keys=home.keys / FOLDER if needs.personal_data else None,
            file_keys=home.keys / FILES_FOLDER if needs.file_keys else None,
            postgres={role: stores.postgres(role) for role in needs.postgres_roles},
            valkey=stores.valkey(needs.name),
            nats=stores.nats(needs.name),
            clickhouse=stores.clickhouse if needs.analysis else None,
            vectors=stores.vectors if needs.analysis else None,
            graph=stores.graph if needs.analysis else None,
            told=home.told if needs.analysis else None,
        )

    def _common(self, name: str, port: int) -> ServiceBundle:
        installation, home = self._installation, self._installation.home
        return ServiceBundle(
            service=name,
            instance=f"{name}-{self._ids.new()}",
            version=installation.version,
            environment=installation.environment,
            home=home.root,
            demo=installation.demo,
            tls=tls_files(home, name),
            listener=HttpListener(socket=service_socket(home, name), host=LOOPBACK, port=port),
            control_fd=None,
            peers={
                peer: PeerAddress(host=LOOPBACK, port=port)
                for peer, port in installation.ports.items()
                if peer != name
            },
            service_keys=home.trust / "service-keys.jwks",
            user_keys=home.trust / "user-keys.jwks",
            config_file=home.config_file if home.config_file.exists() else None,
            settings=dict(installation.settings),
        )
