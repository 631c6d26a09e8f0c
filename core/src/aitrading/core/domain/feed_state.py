"""How fresh a feed is."""

from enum import StrEnum


class FeedState(StrEnum):
    """How far a symbol's prices can be trusted; risk listens to it.

    An unknown trading session is never CLOSED. A feed nobody has heard from yet, as after a
    restart, is UNKNOWN; one that stays silent becomes DEAD.
    """

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    STALE = "STALE"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"
    DEAD = "DEAD"
