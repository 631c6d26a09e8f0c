"""What the data bridge and the api-gateway say to each other about open connections.

* `GET /internal/v1/connections?tenant=…` gives `Connections` of one organisation.
* `POST /internal/v1/connections/end` with `EndConnection` ends one and gives `Ended`; 404 when it is
  not open.
"""

from typing import Final
from uuid import UUID

import msgspec

CONNECTIONS_PATH: Final = "/internal/v1/connections"
END_PATH: Final = "/internal/v1/connections/end"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One open link of a device or stream of a person, as the bridge knows it."""

    id: UUID
    device: UUID | None = None
    user: UUID | None = None
    since_ns: int
    round_trip_ms: float | None = None
    """Of the newest sign of life that was answered; None before the first."""
    feeds: int = 0
    """Streams of ticks that a link carries."""
    unconfirmed: int = 0
    """A link: ticks received that are not durable yet. A stream: quotes that wait for it."""


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Open connections, oldest first."""

    items: list[Connection]


class EndConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which connection of which organisation is to end."""

    tenant: UUID
    connection: UUID


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The connection was told to end."""

    connection: UUID
