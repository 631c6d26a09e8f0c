"""Every decoder of bytes that somebody else sends, ready to be fuzzed: what it is, and seeds.

A decoder may refuse with an `AitradingError`. Anything else that comes out of it is a fault, and so
is an input that is read and does not mean again what was written.
"""

import json
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol import sealed_segment, segment
from aitrading.core.protocol.ingest import IngestHeader, decode_record, encode_header
from aitrading.core.protocol.link import frames
from aitrading.core.protocol.link.burst import read_burst
from aitrading.core.protocol.link.frames import FrameType
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
    StreamDeclaration,
    Subscribe,
)
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    ServerProfile,
    ServerSession,
    StreamPosition,
)
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.core.security.certificates import parse_forwarded_device
from aitrading.core.testing.manual_clock import ManualClock

VECTORS: Final = Path(__file__).parents[2] / "core/tests/vectors"
ROW_BYTES: Final = 24
CONTROLS: Final[dict[int, type[Any]]] = {
    FrameType.HELLO: Hello,
    FrameType.HELLO_ACK: HelloAck,
    FrameType.OPEN: Open,
    FrameType.OPEN_ACK: OpenAck,
    FrameType.SUBSCRIBE: Subscribe,
    FrameType.CLOSE: Notice,
    FrameType.ERROR: Notice,
    FrameType.DAYS: Days,
    FrameType.GAPS: Gaps,
    FrameType.REPAIR: Repair,
    FrameType.SETTINGS: SettingsNews,
}
MESSAGE: Final = struct.Struct("<BBBHH")
"""Type, flags, stream, sequence and length of a message in the input of a session."""
DECLARED: Final = StreamDeclaration(
    handle=1, broker="B", login=1, symbol="EURUSD", epoch=1, digits=5, last_sequence=1 << 40
)


@dataclass(frozen=True)
class Decoder:
    """What is fuzzed, and what it begins with."""

    decode: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def vectors(name: str) -> list[bytes]:
    """The good and the bad of the shared vectors."""
    stored = json.loads((VECTORS / name).read_text())
    return [bytes.fromhex(one["hex"]) for one in (*stored["good"], *stored["bad"])]


def link_frame(data: bytes) -> None:
    frame = frames.decode_frame(data)
    body_of(frame)
    if not frame.extension:
        again = frames.encode_frame(
            frame.type, frame.body, stream=frame.stream, sequence=frame.sequence, flags=frame.flags
        )
        require(frames.decode_frame(again) == frame, "a frame means the same again")


def link_body(data: bytes) -> None:
    """A body in a frame whose checksum is right."""
    if data:
        body_of(frames.decode_frame(frames.encode_frame(data[0], data[1:])))


def body_of(frame: frames.Frame) -> None:
    control = CONTROLS.get(frame.type)
    if control is not None:
        read = frames.decode_control(frame, control)
        written = frames.encode_control(FrameType(frame.type), read)
        again = frames.decode_control(frames.decode_frame(written), control)
        require(again == read, "a message means the same again")
    elif frame.type == FrameType.TICKS:
        body = frames.decode_ticks(frame)
        require(len(body.rows) == body.ticks * ROW_BYTES, "as many rows as told")
    elif frame.type == FrameType.ACK:
        frames.decode_acks(frame)
    elif frame.type in {FrameType.PING, FrameType.PONG}:
        frames.decode_ping(frame)


def server_session(data: bytes) -> None:
    """A greeted server takes whatever comes; it may end the link and never raises."""
    clock = ManualClock()
    session = ServerSession(
        clock, ServerProfile(tenant=UUID(int=1), device=UUID(int=2), software="s")
    )
    client = ClientSession(clock, ClientProfile(software="c"))
    client.start([DECLARED])
    session.receive_all(client.outgoing())
    session.accept("session", {1: StreamPosition(0, 0)})
    messages = sent(data)
    session.receive_all(messages)
    session.poll()
    session.outgoing()
    read_burst(messages[:1] * 8, batch_ticks_max=8) if messages else None


def client_session(data: bytes) -> None:
    """A client that greeted takes whatever comes."""
    session = ClientSession(ManualClock(), ClientProfile(software="c"))
    session.start([DECLARED])
    session.receive_all(sent(data))
    session.poll()
    session.outgoing()


def sent(data: bytes) -> list[bytes]:
    """The messages that an input stands for, each with a right checksum."""
    messages: list[bytes] = []
    while len(data) >= MESSAGE.size:
        kind, flags, stream, sequence, size = MESSAGE.unpack_from(data)
        body, data = data[MESSAGE.size : MESSAGE.size + size], data[MESSAGE.size + size :]
        messages.append(
            frames.encode_frame(kind, body, stream=stream, sequence=sequence, flags=flags)
        )
    return messages


def ingest_record(data: bytes) -> None:
    record = decode_record(data)
    written = encode_header(record.header) + bytes(record.rows)
    require(written == data, "a record is written as it was read")


def spool_segment(data: bytes) -> None:
    found = segment.scan(data)
    require(found.end <= len(data), "nothing is read behind the end")
    segment.read_segment(data)


def sealed(data: bytes) -> None:
    sealed_segment.decode_sealed_header(data)
    require(sealed_segment.scan_frames(data).end <= len(data), "nothing is read behind the end")


def headers(data: bytes) -> None:
    """What the edge and programs say in headers."""
    text = data.decode("latin-1")
    traced = TraceContext.parse(text)
    require(
        traced is None or TraceContext.parse(str(traced)) == traced, "a trace is the same again"
    )
    parse_forwarded_device(text)


def require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def bodies() -> list[bytes]:
    """Every body of the shared vectors behind its type."""
    good = json.loads((VECTORS / "link_v1.json").read_text())["good"]
    return [bytes([one["type"]]) + bytes.fromhex(one["body_hex"]) for one in good]


def conversations() -> list[bytes]:
    """Every frame of the shared vectors, and all of them one after the other."""
    alone = [
        MESSAGE.pack(body[0], 0, body[0] > FrameType.OPEN_ACK, 1, len(body) - 1) + body[1:]
        for body in bodies()
    ]
    return [*alone, b"".join(alone)]


def records() -> list[bytes]:
    header = IngestHeader(
        tenant=UUID(int=1), stream=UUID(int=2), first_sequence=1, count=2, receive_ns=3,
        broker_offset_s=7_200, trace_id=bytes(16), span_id=bytes(8), row_bytes=ROW_BYTES,
    )  # fmt: skip
    return [encode_header(header) + bytes(2 * ROW_BYTES)]


def sealed_files() -> list[bytes]:
    stored = json.loads((VECTORS / "spool_v1.json").read_text())
    return [bytes.fromhex(text) for files in stored.values() for text in files.values()]


def header_texts() -> list[bytes]:
    return [
        b"00-" + b"4b" * 16 + b"-" + b"0f" * 8 + b"-01",
        b"Hash=" + b"ab" * 32 + b";URI=spiffe://aitrading/tenant/1/device/2",
    ]


DECODERS: Final[dict[str, Decoder]] = {
    "link-frame": Decoder(link_frame, lambda: vectors("link_v1.json")),
    "link-body": Decoder(link_body, bodies),
    "server-session": Decoder(server_session, conversations),
    "client-session": Decoder(client_session, conversations),
    "ingest-record": Decoder(ingest_record, records),
    "spool-segment": Decoder(spool_segment, lambda: vectors("segment_v1.json")),
    "sealed-segment": Decoder(sealed, sealed_files),
    "headers": Decoder(headers, header_texts),
}


def planted(data: bytes) -> None:
    """A decoder with a fault that chance alone would not find in years."""
    if data[:1] == b"A" and data[1:2] == b"I" and data[2:3] == b"T" and data[3:4] == b"L":
        raise KeyError(data)


def run(decode: Callable[[bytes], None], data: bytes) -> None:
    """Decode once; a refusal is an answer."""
    with suppress(AitradingError):
        decode(data)
