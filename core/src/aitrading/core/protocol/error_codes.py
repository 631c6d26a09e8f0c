"""Codes of the link and the spool format; a client may see every one of them.

A WebSocket that ends because of one of them closes with 4000 + its HTTP status
(`websocket_close_code`), so that both layers tell the same story.
"""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

WEBSOCKET_PRIVATE_RANGE: Final = 4_000

LINK_FRAME_MALFORMED: Final = ErrorSpec(
    code="LINK_FRAME_MALFORMED",
    category=Category.FATAL,
    message="A link frame is malformed: {field} expected {expected}, was {actual}.",
    why="The peer does not speak this protocol, or is of another version.",
    remedy="Compare the versions of client and server; nothing of the frame was used.",
    http_status=400,
    impact=Impact.MARKET_DATA,
)
LINK_FRAME_CORRUPT: Final = ErrorSpec(
    code="LINK_FRAME_CORRUPT",
    category=Category.RETRYABLE,
    message="A link frame of {size_bytes} bytes failed its checksum.",
    why="Bytes changed between the two ends.",
    remedy="Nothing to do once: the link reconnects and resends. If it repeats, check memory and "
    "any proxy in between.",
    http_status=400,
    impact=Impact.MARKET_DATA,
)
LINK_FRAME_TOO_LARGE: Final = ErrorSpec(
    code="LINK_FRAME_TOO_LARGE",
    category=Category.FATAL,
    message="A link frame of {size_bytes} bytes exceeds the limit of {limit_bytes}.",
    why="The sender ignored the limit agreed in HELLO_ACK.",
    remedy="Update the sender, or raise the limit on both sides.",
    http_status=413,
)
LINK_VERSION_UNSUPPORTED: Final = ErrorSpec(
    code="LINK_VERSION_UNSUPPORTED",
    category=Category.FATAL,
    message="The peer speaks link version {theirs}; this side speaks {ours}.",
    why="Client and server are too far apart.",
    remedy="Update the older of the two.",
    http_status=426,
    impact=Impact.MARKET_DATA,
)
LINK_FEATURE_UNKNOWN: Final = ErrorSpec(
    code="LINK_FEATURE_UNKNOWN",
    category=Category.FATAL,
    message="A link frame needs something this side does not know: {what}.",
    why="The peer used a frame type, flag or row format that was not agreed in HELLO.",
    remedy="Update the older of the two sides.",
    http_status=426,
)
LINK_ORDER_VIOLATED: Final = ErrorSpec(
    code="LINK_ORDER_VIOLATED",
    category=Category.FATAL,
    message="A {frame} frame may not come here: {reason}.",
    why="The peer broke the order of the protocol, or a frame was repeated or lost on the way.",
    remedy="The link reconnects by itself; if it repeats, compare the versions of both sides.",
    http_status=400,
)
LINK_SEQUENCE_JUMPED: Final = ErrorSpec(
    code="LINK_SEQUENCE_JUMPED",
    category=Category.RETRYABLE,
    message="Stream {handle} jumped from {expected} to {actual} without declaring a gap.",
    why="A frame was lost between the two ends.",
    remedy="Nothing: the link reconnects and resends everything that is not yet durable.",
    http_status=409,
    impact=Impact.MARKET_DATA,
)
LINK_STREAM_UNKNOWN: Final = ErrorSpec(
    code="LINK_STREAM_UNKNOWN",
    category=Category.FATAL,
    message="Stream {handle} was not opened on this link.",
    why="A frame names a handle that was never declared, or that was refused.",
    remedy="Declare the stream with OPEN and wait for the grant.",
    http_status=400,
)
LINK_STREAM_CONFLICT: Final = ErrorSpec(
    code="LINK_STREAM_CONFLICT",
    category=Category.DENIED,
    message="A stream was declared with other properties than before.",
    why="Digits changed within one epoch.",
    remedy="Open the stream with a later epoch.",
    http_status=409,
)
LINK_LIMIT_EXCEEDED: Final = ErrorSpec(
    code="LINK_LIMIT_EXCEEDED",
    category=Category.FATAL,
    message="The link limit {limit_name} of {limit} was exceeded: {actual}.",
    why="The peer sent more than HELLO_ACK allows.",
    remedy="Update the sender, or raise the limit on the server.",
    http_status=429,
)
LINK_WINDOW_FULL: Final = ErrorSpec(
    code="LINK_WINDOW_FULL",
    category=Category.RETRYABLE,
    message="{count} ticks do not fit the window: {room} of {window} are free.",
    why="The server has not yet acknowledged what was sent.",
    remedy="Keep the ticks in the spool and send them after the next acknowledgement.",
    http_status=429,
    severity=Severity.DEBUG,
)
LINK_SILENT: Final = ErrorSpec(
    code="LINK_SILENT",
    category=Category.RETRYABLE,
    message="Nothing came from the peer for {silent_ms} ms (limit {limit_ms} ms).",
    why="The network path is dead although nobody closed it.",
    remedy="Nothing: the link reconnects. If it repeats, check firewalls with idle time-outs.",
    http_status=408,
    impact=Impact.MARKET_DATA,
)
LINK_NOT_ACKNOWLEDGED: Final = ErrorSpec(
    code="LINK_NOT_ACKNOWLEDGED",
    category=Category.RETRYABLE,
    message="{pending} were not answered within {limit_ms} ms.",
    why="The server does not reach its disk, or an acknowledgement was lost.",
    remedy="The link reconnects and resends. If it repeats, look at the data bridge's spool.",
    http_status=504,
    impact=Impact.MARKET_DATA,
)
LINK_STATE_WRONG: Final = ErrorSpec(
    code="LINK_STATE_WRONG",
    category=Category.FATAL,
    message="{action} is not possible while the session is {state}.",
    why="The owner of the session called it at the wrong time.",
    remedy="This is a defect; report it with the log lines before it.",
)
LINK_GOING_AWAY: Final = ErrorSpec(
    code="LINK_GOING_AWAY",
    category=Category.RETRYABLE,
    message="The peer is stopping.",
    why="The service restarts or the machine shuts down.",
    remedy="Reconnect with backoff.",
    http_status=503,
    severity=Severity.INFO,
)
LINK_SUPERSEDED: Final = ErrorSpec(
    code="LINK_SUPERSEDED",
    category=Category.RETRYABLE,
    message="A newer link of the same device took over.",
    why="The device reconnected before the old connection was noticed dead.",
    remedy="Nothing; two machines that share one device's certificate are told so.",
    http_status=409,
    severity=Severity.INFO,
)
LINK_DEVICE_SHARED: Final = ErrorSpec(
    code="LINK_DEVICE_SHARED",
    category=Category.DENIED,
    message="Two clients use one device's certificate.",
    why="Another running client came with this device's key and took its place: its home was copied, "
    "or its key was stolen.",
    remedy="Stop the copy, and enrol it as a device of its own. If you know of no copy, revoke the "
    "device (`aitrading device revoke`) and enrol this machine again.",
    http_status=409,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
LINK_DEVICE_REFUSED: Final = ErrorSpec(
    code="LINK_DEVICE_REFUSED",
    category=Category.DENIED,
    message="The server does not accept this device.",
    why="The device is revoked, unknown, or belongs to another tenant.",
    remedy="Enrol the device again with a new code.",
    http_status=403,
)
LINK_SUBSCRIPTION_INACTIVE: Final = ErrorSpec(
    code="LINK_SUBSCRIPTION_INACTIVE",
    category=Category.DENIED,
    message="The organisation's subscription does not count at present.",
    why="It is paused, ended, over or not begun: market data stops, the link stays. Or the "
    "organisation is suspended: the link ends.",
    remedy="Renew it with `aitrading subscription set`. Until then the client keeps its ticks on its "
    "disk; the kill switch and closing positions go on working.",
    http_status=402,
)
LINK_UNCHECKED: Final = ErrorSpec(
    code="LINK_UNCHECKED",
    category=Category.RETRYABLE,
    message="The server cannot ask whether this device may still send.",
    why="Its identity service did not answer for a minute: no ticks are taken, the link stays.",
    remedy="Nothing: ticks stay on this disk and go on when it answers again. If it lasts, the "
    "operator looks at the api-gateway.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
LINK_OVERLOADED: Final = ErrorSpec(
    code="LINK_OVERLOADED",
    category=Category.RETRYABLE,
    message="The server takes no data at the moment.",
    why="Its spool is full, or a service it depends on is down.",
    remedy="Keep the ticks in the spool; the client comes back after the time given.",
    http_status=503,
    impact=Impact.MARKET_DATA,
)
LINK_NOT_READ: Final = ErrorSpec(
    code="LINK_NOT_READ",
    category=Category.RETRYABLE,
    message="The device does not read what is sent to it.",
    why="What waits for it would fill the bridge's memory; the bridge stopped reading too.",
    remedy="The client reconnects and resends. If it repeats, look at the machine's load and network.",
    http_status=408,
)
LINK_DEVICES_FULL: Final = ErrorSpec(
    code="LINK_DEVICES_FULL",
    category=Category.RETRYABLE,
    message="The organisation has as many devices connected as it may.",
    why="Its plan, or what was granted to it, tells how many devices may be connected at once.",
    remedy="End a connection that is not needed, or let the operator grant more with `aitrading "
    "config tenant set limits.links_max`; ticks stay on this disk meanwhile.",
    http_status=429,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
LINK_FEEDS_FULL: Final = ErrorSpec(
    code="LINK_FEEDS_FULL",
    category=Category.RETRYABLE,
    message="The organisation has as many feeds as it may.",
    why="A feed is one symbol of one account on one device; the organisation's plan, or what was "
    "granted to it, tells how many the server keeps.",
    remedy="Show fewer symbols in Market Watch, or let the operator grant more with `aitrading config "
    "tenant set limits.feeds_max`; the symbol is offered again by itself.",
    http_status=429,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
LINK_SHARE_FULL: Final = ErrorSpec(
    code="LINK_SHARE_FULL",
    category=Category.RETRYABLE,
    message="The organisation's share of the server's spool is full.",
    why="Its ticks come faster than the database takes them; the rest of the spool is for others.",
    remedy="Nothing: ticks stay on this disk, and the client comes back after the time given. If it "
    "lasts, the operator looks at the database service or grants `limits.spool_per_cent`.",
    http_status=429,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SEGMENT_CORRUPT: Final = ErrorSpec(
    code="SEGMENT_CORRUPT",
    category=Category.FATAL,
    message="A spool segment is damaged at byte {offset}: {reason}.",
    why="The disk changed bytes, or the file is not a segment.",
    remedy="Keep the file for analysis and check the disk.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
SEGMENT_VERSION_UNSUPPORTED: Final = ErrorSpec(
    code="SEGMENT_VERSION_UNSUPPORTED",
    category=Category.FATAL,
    message="A spool segment needs {what}, which this version cannot read.",
    why="The segment was written by a newer version.",
    remedy="Start the version that wrote it, or update this one.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
SEGMENT_RECORD_TOO_LARGE: Final = ErrorSpec(
    code="SEGMENT_RECORD_TOO_LARGE",
    category=Category.FATAL,
    message="A record of {size_bytes} bytes exceeds the limit of {limit_bytes}.",
    why="The caller put too much into one record.",
    remedy="Split the record.",
    http_status=413,
)


def websocket_close_code(spec: ErrorSpec) -> int:
    """The WebSocket close code that goes with an error of the link."""
    return WEBSOCKET_PRIVATE_RANGE + spec.http_status
