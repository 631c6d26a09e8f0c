"""Link frame v1: 32 bytes of header, then a body. docs/reference/formats.md has every byte.

`decode_frame` checks everything that can be checked without knowing the session: size, magic,
checksum, version, reserved bits. Whatever it returns is exactly what a peer encoded.
"""

import struct
import zlib
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple, TypeVar

import msgspec

from aitrading.core.domain.market import ROW_BYTES, ROW_FORMAT, TickBatch
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import (
    LINK_FEATURE_UNKNOWN,
    LINK_FRAME_CORRUPT,
    LINK_FRAME_MALFORMED,
    LINK_FRAME_TOO_LARGE,
    LINK_VERSION_UNSUPPORTED,
)
from aitrading.core.protocol.link.messages import (
    Days,
    Gaps,
    Hello,
    HelloAck,
    Notice,
    Open,
    OpenAck,
    Repair,
    SettingsNews,
    Subscribe,
)
from aitrading.core.protocol.versions import LINK_VERSION

MAGIC: Final = b"AITL"
HEADER_BYTES: Final = 32
FRAME_BYTES_MAX: Final = 65_536
"""Limit of a frame, header included, unless HELLO and HELLO_ACK agree on another."""
BATCH_TICKS_MAX: Final = 2_048
ACKS_PER_FRAME_MAX: Final = 1_024
SEQUENCE_MAX: Final = (1 << 63) - 1
LINK_DELAY_US_MAX: Final = (1 << 32) - 1

Buffer = bytes | bytearray | memoryview


class FrameType(IntEnum):
    """Types up to 127 must be understood; a reader skips unknown types from 128 on.

    32 to 35 are reserved for LOG, SIGNAL, REPORT and CHECKPOINT: data frames with sequences and
    acknowledgements like TICKS, used once both sides agreed on the feature in HELLO.
    """

    HELLO = 1
    HELLO_ACK = 2
    OPEN = 3
    OPEN_ACK = 4
    SUBSCRIBE = 5
    PING = 6
    PONG = 7
    CLOSE = 8
    ERROR = 9
    TICKS = 16
    ACK = 17
    LOG = 32
    SIGNAL = 33
    REPORT = 34
    CHECKPOINT = 35
    DAYS = 144
    GAPS = 145
    REPAIR = 146
    SETTINGS = 147


IGNORABLE_TYPES_FROM: Final = 128


class FrameFlag(IntFlag):
    """The low byte may be ignored by a reader; a bit of the high byte must be understood."""

    NONE = 0
    HISTORY = 0x0001
    """TICKS: fetched again from the terminal's history to repair a gap; no news about the price."""
    AFTER_GAP = 0x0100
    """TICKS: the sequences before this batch that were not sent are gone for good."""


MUST_UNDERSTAND: Final = 0xFF00

_HEADER: Final = struct.Struct("<4sIBBHIQIHH")
_CHECKED: Final = struct.Struct("<BBHIQIHH")
_TICKS: Final = struct.Struct("<IHHiIq16s8s")
_ACK: Final = struct.Struct("<IIQ")
_PING: Final = struct.Struct("<qq")
_CHECKED_FROM: Final = 8
TICKS_HEADER_BYTES: Final = _TICKS.size
ACK_BYTES: Final = _ACK.size


class Frame(NamedTuple):
    """One decoded frame; `body` and `extension` are views of the message."""

    type: int
    flags: int
    stream: int
    sequence: int
    body: memoryview
    extension: memoryview


class TicksBody(NamedTuple):
    """The head of a TICKS body and a view of its rows."""

    ticks: int
    receive_ns: int
    broker_offset_s: int
    link_delay_us: int
    trace_id: bytes
    span_id: bytes
    rows: memoryview


class PingBody(NamedTuple):
    """`token` comes back unchanged in PONG; `wall_ns` is the sender's wall clock."""

    token: int
    wall_ns: int


def encode_frame(
    kind: int, body: Buffer = b"", *, stream: int = 0, sequence: int = 0, flags: int = 0
) -> bytes:
    """One frame as one WebSocket binary message."""
    checked = _CHECKED.pack(LINK_VERSION, kind, flags, len(body), sequence, stream, 0, 0)
    checksum = zlib.crc32(body, zlib.crc32(checked))
    return b"".join((MAGIC, checksum.to_bytes(4, "little"), checked, body))


def decode_frame(message: Buffer, frame_bytes_max: int = FRAME_BYTES_MAX) -> Frame:
    """Read one message; raises a `LINK_…` error for whatever is not a whole, intact frame."""
    view = memoryview(message)
    size = len(view)
    if size < HEADER_BYTES:
        raise malformed("length", f"at least {HEADER_BYTES} bytes", size)
    if size > frame_bytes_max:
        raise LINK_FRAME_TOO_LARGE.error(size_bytes=size, limit_bytes=frame_bytes_max)
    (
        magic,
        checksum,
        version,
        kind,
        flags,
        body_bytes,
        sequence,
        stream,
        extension_bytes,
        rest,
    ) = _HEADER.unpack_from(view)
    if magic != MAGIC:
        raise malformed("magic", MAGIC.decode(), ascii(magic))
    if version != LINK_VERSION:
        raise LINK_VERSION_UNSUPPORTED.error(theirs=version, ours=LINK_VERSION)
    if zlib.crc32(view[_CHECKED_FROM:]) != checksum:
        raise LINK_FRAME_CORRUPT.error(size_bytes=size)
    body_from = HEADER_BYTES + extension_bytes
    if body_from + body_bytes != size:
        raise malformed("length", f"{body_from + body_bytes} bytes", size)
    if rest or extension_bytes % 8 or sequence > SEQUENCE_MAX:
        raise malformed("header", "reserved bits 0", rest or extension_bytes or sequence)
    return Frame(kind, flags, stream, sequence, view[body_from:], view[HEADER_BYTES:body_from])


def unknown_flags(frame: Frame) -> int:
    """Flags of a frame that must be understood and are not."""
    known = int(FrameFlag.AFTER_GAP) if frame.type == FrameType.TICKS else 0
    return frame.flags & MUST_UNDERSTAND & ~known


def encode_ticks(
    handle: int, batch: TickBatch, *, link_delay_us: int = 0, after_gap: bool = False
) -> bytes:
    """A TICKS frame; the stream's id stays at home, its handle travels."""
    head = _TICKS.pack(
        batch.count,
        ROW_BYTES,
        ROW_FORMAT,
        batch.broker_offset_s,
        min(max(link_delay_us, 0), LINK_DELAY_US_MAX),
        batch.receive_ns,
        batch.trace_id,
        batch.span_id,
    )
    return encode_frame(
        FrameType.TICKS,
        b"".join((head, batch.rows)),
        stream=handle,
        sequence=batch.first_sequence,
        flags=(FrameFlag.AFTER_GAP if after_gap else 0)
        | (FrameFlag.HISTORY if batch.is_history else 0),
    )


def decode_ticks(frame: Frame, batch_ticks_max: int = BATCH_TICKS_MAX) -> TicksBody:
    """Read the body of a TICKS frame completely, or raise."""
    body = frame.body
    if len(body) < TICKS_HEADER_BYTES:
        raise malformed("body", f"at least {TICKS_HEADER_BYTES} bytes", len(body))
    count, row_bytes, row_format, offset_s, delay_us, receive_ns, trace_id, span_id = (
        _TICKS.unpack_from(body)
    )
    if row_format != ROW_FORMAT or row_bytes != ROW_BYTES:
        what = f"row format {row_format} of {row_bytes} bytes"
        raise LINK_FEATURE_UNKNOWN.error(what=what)
    if not 1 <= count <= batch_ticks_max:
        raise malformed("count", f"1 … {batch_ticks_max}", count)
    if len(body) != TICKS_HEADER_BYTES + count * ROW_BYTES:
        raise malformed("rows", f"{count * ROW_BYTES} bytes", len(body) - TICKS_HEADER_BYTES)
    if not 1 <= frame.sequence <= SEQUENCE_MAX - count:
        raise malformed("sequence", f"1 … {SEQUENCE_MAX - count}", frame.sequence)
    rows = body[TICKS_HEADER_BYTES:]
    return TicksBody(count, receive_ns, offset_s, delay_us, trace_id, span_id, rows)


def encode_acks(acks: dict[int, int]) -> bytes:
    """An ACK frame: for each handle, everything up to its sequence is durable."""
    body = b"".join(_ACK.pack(handle, 0, sequence) for handle, sequence in sorted(acks.items()))
    return encode_frame(FrameType.ACK, body)


def decode_acks(frame: Frame) -> list[tuple[int, int]]:
    """Read the body of an ACK frame, or raise."""
    count, rest = divmod(len(frame.body), ACK_BYTES)
    if rest or not 1 <= count <= ACKS_PER_FRAME_MAX:
        raise malformed("body", f"1 … {ACKS_PER_FRAME_MAX} entries of 16 bytes", len(frame.body))
    entries = list(_ACK.iter_unpack(frame.body))
    if any(reserved or sequence > SEQUENCE_MAX for _, reserved, sequence in entries):
        raise malformed("body", "reserved bits 0", "other bits")
    return [(handle, sequence) for handle, _, sequence in entries]


def encode_ping(kind: FrameType, ping: PingBody) -> bytes:
    """A PING or PONG frame."""
    return encode_frame(kind, _PING.pack(ping.token, ping.wall_ns))


def decode_ping(frame: Frame) -> PingBody:
    """Read the body of PING or PONG, or raise."""
    if len(frame.body) != _PING.size:
        raise malformed("body", f"{_PING.size} bytes", len(frame.body))
    return PingBody(*_PING.unpack(frame.body))


Control = (
    Hello | HelloAck | Open | OpenAck | Subscribe | Notice | Days | Gaps | Repair | SettingsNews
)
ControlType = TypeVar(
    "ControlType",
    Hello,
    HelloAck,
    Open,
    OpenAck,
    Subscribe,
    Notice,
    Days,
    Gaps,
    Repair,
    SettingsNews,
)
_encode_json: Final = msgspec.json.Encoder().encode


def encode_control(kind: FrameType, message: Control) -> bytes:
    """A control frame with its body as canonical JSON."""
    return encode_frame(kind, _encode_json(message))


def decode_control(frame: Frame, message: type[ControlType]) -> ControlType:
    """Read a JSON body; unknown members are ignored, everything else is checked."""
    try:
        return msgspec.json.decode(frame.body, type=message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise malformed("body", message.__name__, str(exc)[:200]) from exc


def malformed(field: str, expected: str, actual: str | int) -> AitradingError:
    """The error of a frame that breaks the format."""
    return LINK_FRAME_MALFORMED.error(field=field, expected=expected, actual=actual)
