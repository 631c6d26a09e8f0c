"""How fresh a feed is."""

from enum import StrEnum


class FeedState(StrEnum):
    """How far a symbol's prices can be trusted; risk listens to it.

    An unknown trading session is never CLOSED, and a feed nobody has heard from is DEAD.
    """

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    STALE = "STALE"
    CLOSED = "CLOSED"
    DEAD = "DEAD"
