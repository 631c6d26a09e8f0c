"""The bundle: everything one service process needs to know, written by the supervisor.

The supervisor writes `HOME/run/bundles/<service>.json` (mode 0600) before it starts the service
and names it in `AITRADING_BUNDLE`. A service opens nothing that its bundle does not name, so its
rights can be read in one file.
"""

from pathlib import Path
from typing import Final

import msgspec

TOLD_SUFFIX: Final = ".prom"
TOLD_EVERY_S: Final = 5.0
TOLD_FRESH_S: Final = 3 * TOLD_EVERY_S
"""An older file is of somebody who does not write any more."""


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files of this service's own identity (URI SAN `spiffe://aitrading/service/<name>`)."""

    certificate: Path
    private_key: Path
    ca: Path


class HttpListener(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service answers: a Unix socket for the edge, TCP with mTLS for its peers."""

    socket: Path
    host: str
    port: int


class PeerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where another service answers over mTLS."""

    host: str
    port: int


class PostgresAddress(msgspec.Struct, frozen=True):
    """Where one server answers; `host` is a socket folder or a host name."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """As people and metrics call it."""
        return f"{self.host}:{self.port}"


class PostgresAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One login of one role; `host` is a socket folder or a host name."""

    host: str
    port: int
    database: str
    user: str
    password: str
    tls: bool = False
    ca: Path | None = None
    """Roots that may sign the server's certificate; None means the machine's own."""
    others: tuple[PostgresAddress, ...] = ()
    """Further servers of the same cluster: standbys now, one of them the primary tomorrow."""
    primary_record: Path | None = None
    """Where the newest primary seen is remembered; None for the embedded one."""

    @property
    def servers(self) -> tuple[PostgresAddress, ...]:
        """Every server, in the order in which they were given."""
        return (PostgresAddress(self.host, self.port), *self.others)


class ValkeyAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One cache user; its ACL allows keys under `<service>:` only."""

    user: str
    password: str
    socket: Path | None = None
    url: str | None = None
    tls: TlsFiles | None = None
    """Shown to a server that asks for a certificate; its own is verified by the URL's roots."""


class NatsAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One bus user over mutual TLS; its permissions name the subjects it may use."""

    url: str
    user: str
    password: str


class ClickHouseAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The embedded engine's folder, or the URL of a real server."""

    path: Path | None = None
    url: str | None = None


class ServerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is reached by URL or not used at all; the URL holds the login."""

    url: str


class ServiceBundle(msgspec.Struct, frozen=True, kw_only=True):
    """One service process, as the supervisor wants it."""

    service: str
    instance: str
    version: str
    environment: str
    home: Path
    demo: bool
    tls: TlsFiles
    listener: HttpListener
    control_fd: int | None
    peers: dict[str, PeerAddress]
    service_keys: Path
    """Public keys (JWKS) of every service of this installation; verifies service tokens."""
    user_keys: Path
    """Public keys (JWKS) that verify user access tokens."""
    field_keys: Path | None = None
    """Folder of the master keys of personal data, for the services that read or seal some."""
    file_keys: Path | None = None
    """Folder of the file keys, for the services that write files with customers' data."""
    websocket_socket: Path | None = None
    postgres: dict[str, PostgresAccess] = {}
    """Logins by role: `migrator`, `database`, `identity`, `trading`."""
    valkey: ValkeyAccess | None = None
    nats: NatsAccess | None = None
    clickhouse: ClickHouseAccess | None = None
    vectors: ServerAccess | None = None
    """Weaviate; without it PostgreSQL keeps the error vectors."""
    graph: ServerAccess | None = None
    """ArangoDB; without it PostgreSQL walks the chains' graph."""
    told: Path | None = None
    """Folder in which the supervisor leaves `<name>.prom`, the metrics of what has no listener."""
    config_file: Path | None = None
    settings: dict[str, str] = {}
    """Overrides from the command line, the strongest layer of configuration."""


def load_bundle(path: Path) -> ServiceBundle:
    """Read and validate a bundle; raises `msgspec.ValidationError` for a file not made by us."""
    return msgspec.json.decode(path.read_bytes(), type=ServiceBundle, dec_hook=_from_json)


def encode_bundle(bundle: ServiceBundle) -> bytes:
    """Render for `load_bundle`."""
    return msgspec.json.format(msgspec.json.encode(bundle, enc_hook=_to_json))


def _to_json(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a bundle cannot hold a {type(value).__name__}")


def _from_json(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"a bundle cannot hold a {kind.__name__}")
