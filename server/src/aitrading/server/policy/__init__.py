"""The reviewed policy of this release: one TOML file per subject, read at start.

The repository's `security/` folder shows the same files; the wheel ships them. What is written
there holds and no code repeats it. No setting changes it: a change is a change of the repository.
"""

import re
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TypeVar

import msgspec

__all__ = [
    "AdmissionPolicy",
    "BusPolicy",
    "CachePolicy",
    "EdgeLimits",
    "EdgePolicy",
    "LimitsPolicy",
    "LoadPolicy",
    "Machinery",
    "Rates",
    "TierLimits",
    "TlsPolicy",
    "bus_policy",
    "cache_policy",
    "edge_policy",
    "inbox_of",
    "limits_policy",
    "roles_policy",
    "tls_policy",
]

T = TypeVar("T")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt name is an error at start, never a rule that does not hold."""


class AdmissionPolicy(Strict, frozen=True, kw_only=True):
    """How much a registered service may open at the edge."""

    own_prefix: str
    max_services: int
    max_routes: int
    max_path_chars: int
    max_body_bytes: int


class EdgeLimits(Strict, frozen=True, kw_only=True):
    """What one request, one connection and the edge's process may take."""

    max_header_kib: int
    max_headers: int
    headers_s: int
    body_s: int
    silent_request_s: int
    handshake_s: int
    link_handshake_s: int
    first_bytes_s: int
    idle_connection_s: int
    max_streams_per_connection: int
    max_connections: int
    max_public_connections: int
    max_own_connections: int
    max_link_connections: int
    connection_buffer_bytes: int
    max_heap_mb: int
    tracked_addresses: int


class EdgePolicy(Strict, frozen=True, kw_only=True):
    """`edge.toml`."""

    admission: AdmissionPolicy
    limits: EdgeLimits
    owners: dict[str, tuple[str, ...]]


class TlsPolicy(Strict, frozen=True, kw_only=True):
    """`tls.toml`."""

    minimum: str
    maximum: str
    ciphers: tuple[str, ...]
    edge_groups: tuple[str, ...]
    internal_group: str


class Machinery(Strict, frozen=True, kw_only=True):
    """Subjects of the bus itself that somebody may use, besides the own inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


class BusPolicy(Strict, frozen=True, kw_only=True):
    """`bus.toml`."""

    everybody: tuple[str, ...]
    inbox: str
    machinery: tuple[str, ...]
    registry: str
    forbidden: tuple[str, ...]
    subscribe: tuple[str, ...]
    guests_publish: tuple[str, ...]
    guests_machinery: Machinery
    guests_subscribe: tuple[str, ...]
    publish: dict[str, tuple[str, ...]]


class CachePolicy(Strict, frozen=True, kw_only=True):
    """`cache.toml`."""

    service: tuple[str, ...]
    supervisor: tuple[str, ...]
    nobody: tuple[str, ...]


class Rates(Strict, frozen=True, kw_only=True):
    """How often in a minute, by kind of request; a kind that is not there is not counted."""

    general: int = 0
    identity: int = 0
    trading: int = 0
    connections: int = 0
    links: int = 0
    health: int = 0
    host: int = 0


class Holds(Strict, frozen=True, kw_only=True):
    """How much one organisation may hold at once."""

    links_max: int
    streams_max: int
    feeds_max: int
    spool_per_cent: int

    def __post_init__(self) -> None:
        numbers = min(self.links_max, self.streams_max, self.feeds_max)
        if numbers < 1 or not 1 <= self.spool_per_cent < 100:  # noqa: PLR2004
            raise ValueError("every tier holds something, and none the whole spool")


class TierLimits(Strict, frozen=True, kw_only=True):
    """What a tier allows."""

    user: Rates
    device: Rates
    tenant: Rates
    holds: Holds


class LoadPolicy(Strict, frozen=True, kw_only=True):
    """What of the limits is left while a process is overloaded."""

    overloaded_ms: int
    relaxed_ms: int
    raise_after_s: int
    lower_after_s: int
    shares: tuple[int, ...]
    """In per cent, by step; the first is the whole."""
    floors: dict[str, int]
    """In per cent, by kind of request."""

    def __post_init__(self) -> None:
        whole, least = 100, 1
        falls = all(more > less for more, less in pairwise(self.shares))
        if not (self.shares and self.shares[0] == whole and falls and self.shares[-1] >= least):
            raise ValueError("shares begin at 100, fall, and end above 0")
        if not all(least <= floor <= whole for floor in self.floors.values()):
            raise ValueError("a floor is a number from 1 to 100")
        if not 0 < self.relaxed_ms < self.overloaded_ms:
            raise ValueError("relaxed_ms is less than overloaded_ms")


class LimitsPolicy(Strict, frozen=True, kw_only=True):
    """`limits.toml`."""

    platform: Rates
    address: Rates
    account: Rates
    trading_account: Rates
    load: LoadPolicy
    tiers: dict[str, TierLimits]


@cache
def tls_policy() -> TlsPolicy:
    """Versions, ciphers and groups."""
    return _read("tls", TlsPolicy)


@cache
def bus_policy() -> BusPolicy:
    """Who may say what on the bus."""
    return _read("bus", BusPolicy)


def inbox_of(user: str) -> str:
    """Where answers to a user of the bus come to; of a server's user only what a subject may hold."""
    return bus_policy().inbox.format(user=re.sub(r"[^A-Za-z0-9_-]", "_", user))


@cache
def cache_policy() -> CachePolicy:
    """What users of the embedded cache may do."""
    return _read("cache", CachePolicy)


@cache
def roles_policy() -> dict[str, tuple[str, ...]]:
    """Scopes by role."""
    return _read("roles", dict[str, tuple[str, ...]])


@cache
def limits_policy() -> LimitsPolicy:
    """How often anybody may ask."""
    return _read("limits", LimitsPolicy)


@cache
def edge_policy() -> EdgePolicy:
    """Who owns which paths, and the edge's limits."""
    return _read("edge", EdgePolicy)


def _read(subject: str, kind: type[T]) -> T:
    text = resources.files(__name__).joinpath(f"{subject}.toml").read_bytes()
    return msgspec.toml.decode(text, type=kind)
