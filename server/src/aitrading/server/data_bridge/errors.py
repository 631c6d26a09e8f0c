"""What the data bridge refuses or reports."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

LINK_IDENTITY_MISSING: Final = ErrorSpec(
    code="LINK_IDENTITY_MISSING",
    category=Category.DENIED,
    message="The link carries no device identity.",
    why="Links come through the edge, which proves the device's certificate; this one did not.",
    remedy="Connect to the edge under the name `link.HOST`, not to the bridge.",
    http_status=403,
    severity=Severity.WARNING,
)
BRIDGE_LINKS_FULL: Final = ErrorSpec(
    code="BRIDGE_LINKS_FULL",
    category=Category.RETRYABLE,
    message="{count} devices are connected; the limit is {limit}.",
    why="More devices connect than this bridge may serve.",
    remedy="Raise `bridge.links_max`, or start another bridge.",
    http_status=503,
)
BRIDGE_LINKS_OFF: Final = ErrorSpec(
    code="BRIDGE_LINKS_OFF",
    category=Category.RETRYABLE,
    message="This installation takes no connections of devices.",
    why="`bridge.mt5_websocket_enabled` (MT5_WEBSOCKET_ENABLED) is off.",
    remedy="Set it to true and start the bridge again; clients kept what they read meanwhile.",
    http_status=503,
)
STREAM_SUBSCRIBERS_FULL: Final = ErrorSpec(
    code="STREAM_SUBSCRIBERS_FULL",
    category=Category.RETRYABLE,
    message="{count} subscribers are connected; the limit is {limit}.",
    why="More browsers and programs listen than this bridge may serve.",
    remedy="Close some, or raise `stream.subscribers_max`.",
    http_status=503,
)
STREAM_SHARE_FULL: Final = ErrorSpec(
    code="STREAM_SHARE_FULL",
    category=Category.RETRYABLE,
    message="Your organisation has {count} streams open; it may have {limit}.",
    why="Its plan, or what was granted to it, tells how many streams it may have open at once.",
    remedy="Close some (`aitrading connections`), or let the operator grant more with `aitrading config "
    "tenant set limits.streams_max`.",
    http_status=429,
    severity=Severity.WARNING,
)
STREAM_MESSAGE_INVALID: Final = ErrorSpec(
    code="STREAM_MESSAGE_INVALID",
    category=Category.DENIED,
    message="The message was not understood: {reason}.",
    why="A stream accepts small JSON objects of the types subscribe, token and ping.",
    remedy="Compare with the API page at /docs.",
    http_status=400,
    severity=Severity.DEBUG,
)
STREAM_NOT_READ: Final = ErrorSpec(
    code="STREAM_NOT_READ",
    category=Category.RETRYABLE,
    message="The stream was not read, or its pings were not answered.",
    why="What waits for a subscriber that does not read would fill the bridge's memory.",
    remedy="Read what arrives and answer pings, or ask for fewer symbols; then connect again.",
    http_status=408,
    severity=Severity.DEBUG,
)
STREAM_TOO_BUSY: Final = ErrorSpec(
    code="STREAM_TOO_BUSY",
    category=Category.DENIED,
    message="More messages were sent to the stream than it takes.",
    why="Each message of a subscriber costs the bridge work; a stream needs very few.",
    remedy="Choose symbols and send tokens and pings only when something changed; connect again.",
    http_status=429,
    severity=Severity.DEBUG,
)
STREAM_TOKEN_EXPIRED: Final = ErrorSpec(
    code="STREAM_TOKEN_EXPIRED",
    category=Category.DENIED,
    message="The access token of this stream has ended.",
    why="A stream lives as long as its token unless a new one is sent in time.",
    remedy="Log in again or refresh, then connect again.",
    http_status=401,
    severity=Severity.DEBUG,
)
SEGMENT_NOT_ACCEPTED: Final = ErrorSpec(
    code="SEGMENT_NOT_ACCEPTED",
    category=Category.FATAL,
    message="The database service refused segment {segment}: {reason}.",
    why="The segment is damaged, or the two services are of different versions.",
    remedy="The segment is kept as *.corrupt in the spool folder; compare versions, then restore.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
QUOTES_NOT_YET: Final = ErrorSpec(
    code="QUOTES_NOT_YET",
    category=Category.RETRYABLE,
    message="No feed of this organisation has delivered since the data bridge started.",
    why="The bridge restarted, or no device is connected.",
    remedy="Look at /api/v1/feeds; start the client on the device.",
    http_status=503,
    severity=Severity.DEBUG,
    impact=Impact.VISIBILITY,
)
CONNECTION_UNKNOWN: Final = ErrorSpec(
    code="CONNECTION_UNKNOWN",
    category=Category.DENIED,
    message="Your organisation has no open connection {connection}.",
    why="It ended by itself meanwhile, or the id is wrong.",
    remedy="List the open ones again.",
    http_status=404,
    severity=Severity.DEBUG,
)
CONNECTION_ENDED: Final = ErrorSpec(
    code="CONNECTION_ENDED",
    category=Category.RETRYABLE,
    message="An administrator ended this connection.",
    why="Somebody with the right to do so ended it by hand.",
    remedy="Connect again; if that is refused, ask your administrator.",
    http_status=409,
    severity=Severity.INFO,
)
