"""From where somebody comes: told to people as a kind, compared by digests, kept as no address."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aitrading.core.security.field_encryption import SealedField, TenantFields
from aitrading.core.security.network_claim import address_of
from aitrading.server.api_gateway.identity.throttle import network_of

_FIELD: Final = SealedField(table="identity.sessions", column="network")


class NetworkKind(StrEnum):
    """What of an address a person is shown."""

    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A network as a session's row keeps it; both None for who came past the edge."""

    kind: NetworkKind | None
    index: bytes | None


def seen_from(address: str, fields: TenantFields) -> Seen:
    """What to keep of the address that the edge saw."""
    known = address_of(address)
    if known is None:
        return Seen(kind=None, index=None)
    return Seen(kind=_kind(known), index=fields.index(_FIELD, network_of(str(known))))


def _kind(address: IPv4Address | IPv6Address) -> NetworkKind:
    if address.is_loopback:
        return NetworkKind.LOOPBACK
    return NetworkKind.PRIVATE if address.is_private else NetworkKind.PUBLIC
