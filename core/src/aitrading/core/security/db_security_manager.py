"""Which database addresses and which database roles are acceptable; decides, opens nothing.

One rule stands above the others: a byte that crosses a network is encrypted and the server has
proved who it is. Only a Unix socket, which has no host, goes without TLS.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from aitrading.core.kit.secret import Secret
from aitrading.core.security.db_security_errors import (
    DATABASE_PLAINTEXT_REFUSED,
    DATABASE_ROLE_TOO_STRONG,
    DATABASE_URL_MALFORMED,
)

MAX_URL_CHARS: Final = 2_048
MINIMUM_TLS_VERSION: Final = "TLSv1.3"
VERIFIED_MODE: Final = "verify-full"
MAX_SERVERS: Final = 3
"""One primary and two read replicas."""
_PRIMARY: Final = frozenset({"primary", "read-write"})
"""Which session a URL may ask for; the pool finds the primary among the servers by itself."""
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,253}", re.ASCII)


class Store(StrEnum):
    """The servers a URL can replace."""

    POSTGRES = "PostgreSQL"
    CLICKHOUSE = "ClickHouse"
    CACHE = "cache"
    VECTORS = "vector"
    GRAPH = "graph"
    BUS = "bus"


@dataclass(frozen=True, kw_only=True)
class _Scheme:
    encrypted: frozenset[str]
    plain: frozenset[str]
    port: int
    example: str
    names_mode: bool = False
    needs_password: bool = False


_SCHEMES: Final = {
    Store.POSTGRES: _Scheme(
        encrypted=frozenset({"postgresql", "postgres"}),
        plain=frozenset(),
        port=5432,
        example="postgresql://user@db.example.com:5432/aitrading?sslmode=verify-full",
        names_mode=True,
    ),
    Store.CLICKHOUSE: _Scheme(
        encrypted=frozenset({"https"}),
        plain=frozenset({"http", "clickhouse", "tcp"}),
        port=8443,
        example="https://user@clickhouse.example.com:8443/aitrading",
    ),
    Store.CACHE: _Scheme(
        encrypted=frozenset({"rediss", "valkeys"}),
        plain=frozenset({"redis", "valkey"}),
        port=6380,
        example="rediss://user@cache.example.com:6380/0",
    ),
    Store.VECTORS: _Scheme(
        encrypted=frozenset({"https"}),
        plain=frozenset({"http"}),
        port=443,
        example="https://:API_KEY@weaviate.example.com",
        needs_password=True,
    ),
    Store.GRAPH: _Scheme(
        encrypted=frozenset({"https"}),
        plain=frozenset({"http", "tcp"}),
        port=8529,
        example="https://USER:$PASSWORD@arango.example.com:8529/aitrading",
        needs_password=True,
    ),
    Store.BUS: _Scheme(
        encrypted=frozenset({"tls", "nats+tls"}),
        plain=frozenset({"nats", "ws"}),
        port=4222,
        example="tls://nats.example.com:4222",
    ),
}
_PARAMETERS: Final = frozenset({"sslmode", "sslrootcert"})
_PARAMETERS_OF_POSTGRES: Final = frozenset({"target_session_attrs"})


@dataclass(frozen=True, kw_only=True)
class StoreTarget:
    """An accepted server: reached over TLS 1.3 with a verified certificate, or not at all."""

    store: Store
    host: str
    port: int
    user: str | None
    password: Secret[str] | None = field(repr=False)
    database: str | None
    ca_file: Path | None
    """Roots that may sign the server's certificate; None means the machine's own."""
    others: tuple[tuple[str, int], ...] = ()
    """Further servers of the same PostgreSQL; which of them is the primary changes."""

    @property
    def shown(self) -> str:
        """The addresses for logs and `status`: without user and password."""
        servers = ((self.host, self.port), *self.others)
        return f"{self.store} at {', '.join(_address(*server) for server in servers)}"


@dataclass(frozen=True, kw_only=True)
class RoleFacts:
    """What the server says about the role of a session."""

    name: str
    superuser: bool
    bypasses_row_security: bool
    creates_roles: bool
    owns_tables: bool


def accept_url(store: Store, url: str) -> StoreTarget:
    """Give the target of an acceptable URL.

    Raises `DATABASE_URL_MALFORMED` for an incomplete address and `DATABASE_PLAINTEXT_REFUSED`
    for one without encryption or without verification. The URL itself appears in no message:
    it may hold a password.
    """
    scheme = _SCHEMES[store]
    parts = _split(store, url)
    if parts.scheme in scheme.plain:
        raise _refused(store, f"{parts.scheme}:// (no encryption)")
    if parts.scheme not in scheme.encrypted:
        raise _malformed(store, f"unknown scheme {parts.scheme[:20]!r}")
    if scheme.needs_password and not parts.password:
        raise _malformed(store, "it has no password or key, and nobody may ask without one")
    options = _options(store, parts, scheme)
    (host, port), *others = _servers(store, parts, scheme)
    return StoreTarget(
        store=store,
        host=host,
        port=port,
        others=tuple(others),
        user=unquote(parts.username) if parts.username else None,
        password=Secret(unquote(parts.password)) if parts.password else None,
        database=unquote(parts.path.strip("/")) or None,
        ca_file=Path(options["sslrootcert"]) if "sslrootcert" in options else None,
    )


def require_encryption(store: Store, *, host: str, tls: bool) -> None:
    """Refuse a host reached without TLS; an absolute path is a Unix socket and needs none."""
    if not host.startswith("/") and not tls:
        raise _refused(store, "a network connection without TLS")


def require_weak_role(facts: RoleFacts) -> None:
    """Refuse a role to which row security would not apply."""
    powers = {
        "do everything (superuser)": facts.superuser,
        "ignore row security (BYPASSRLS)": facts.bypasses_row_security,
        "create roles": facts.creates_roles,
        "change tables it owns": facts.owns_tables,
    }
    for power, held in powers.items():
        if held:
            raise DATABASE_ROLE_TOO_STRONG.error(role=facts.name, power=power)


def _split(store: Store, url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise _malformed(store, f"more than {MAX_URL_CHARS} characters, or unprintable ones")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _malformed(store, "the brackets of the host do not match") from None
    if parts.fragment:
        raise _malformed(store, "it has a fragment (#)")
    return parts


def _servers(store: Store, parts: SplitResult, scheme: _Scheme) -> list[tuple[str, int]]:
    """One server, or for PostgreSQL up to three with commas between them."""
    named = [parts]
    if scheme.names_mode:
        listed = parts.netloc.rpartition("@")[2].split(",")
        named = [_split(store, f"//{each}") for each in listed]
    servers = [(_host(store, each), _port(store, each) or scheme.port) for each in named]
    if len(servers) > MAX_SERVERS or len(set(servers)) != len(servers):
        raise _malformed(store, f"at most {MAX_SERVERS} servers, each of them once")
    return servers


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(store: Store, parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise _malformed(store, "exactly one host name or address is needed")
    return host


def _port(store: Store, parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise _malformed(store, "the port is not a number below 65536") from None


def _options(store: Store, parts: SplitResult, scheme: _Scheme) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    known = _PARAMETERS | _PARAMETERS_OF_POSTGRES if scheme.names_mode else _PARAMETERS
    unknown = sorted(options.keys() - known)
    if unknown or len(options) != len(pairs):
        raise _malformed(store, f"unknown or repeated parameters {', '.join(unknown)}")
    mode = options.get("sslmode", VERIFIED_MODE)
    if mode != VERIFIED_MODE:
        raise _refused(store, f"sslmode={mode[:20]}")
    if "sslmode" in options and not scheme.names_mode:
        raise _malformed(store, "sslmode belongs to PostgreSQL")
    if options.get("target_session_attrs", "primary") not in _PRIMARY:
        raise _malformed(store, "target_session_attrs may only be primary or read-write")
    return options


def _malformed(store: Store, problem: str) -> Exception:
    return DATABASE_URL_MALFORMED.error(
        store=store, problem=problem, example=_SCHEMES[store].example
    )


def _refused(store: Store, what: str) -> Exception:
    return DATABASE_PLAINTEXT_REFUSED.error(
        store=store, what=what, example=_SCHEMES[store].example
    )
