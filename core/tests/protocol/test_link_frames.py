"""Link frame v1: the bytes of docs/reference/formats.md, and nothing else."""

import contextlib
import json
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, make_batch
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.link import frames
from aitrading.core.protocol.link.frames import (
    Frame,
    FrameFlag,
    FrameType,
    decode_frame,
    encode_frame,
)
from aitrading.core.protocol.link.messages import (
    Hello,
    HelloAck,
    Notice,
    Open,
    OpenAck,
    Subscribe,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "link_v1.json").read_text())
BODIES = {
    FrameType.HELLO: Hello,
    FrameType.HELLO_ACK: HelloAck,
    FrameType.OPEN: Open,
    FrameType.OPEN_ACK: OpenAck,
    FrameType.SUBSCRIBE: Subscribe,
    FrameType.CLOSE: Notice,
    FrameType.ERROR: Notice,
}


def decode_body(frame: Frame) -> object:
    if frame.type in BODIES:
        return frames.decode_control(frame, BODIES[frame.type])
    if frame.type in (FrameType.PING, FrameType.PONG):
        return frames.decode_ping(frame)
    return {FrameType.TICKS: frames.decode_ticks, FrameType.ACK: frames.decode_acks}[frame.type](
        frame
    )


def encode_again(frame: Frame) -> bytes:
    body = decode_body(frame)
    if isinstance(body, msgspec.Struct):
        return frames.encode_control(FrameType(frame.type), body)
    if isinstance(body, frames.PingBody):
        return frames.encode_ping(FrameType(frame.type), body)
    if isinstance(body, list):
        return frames.encode_acks(dict(body))
    batch = make_batch(
        UUID(int=0),
        frame.sequence,
        np.frombuffer(body.rows, TICK_DTYPE),
        receive_ns=body.receive_ns,
        broker_offset_s=body.broker_offset_s,
        trace_id=body.trace_id,
        span_id=body.span_id,
    )
    after_gap = bool(frame.flags & FrameFlag.AFTER_GAP)
    return frames.encode_ticks(
        frame.stream, batch, link_delay_us=body.link_delay_us, after_gap=after_gap
    )


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_good_vectors_are_read_and_written(vector: dict) -> None:
    frame = decode_frame(bytes.fromhex(vector["hex"]))
    assert (frame.type, frame.flags) == (vector["type"], vector["flags"])
    assert (frame.stream, frame.sequence) == (vector["stream"], vector["sequence"])
    assert frame.body.hex() == vector["body_hex"]
    assert frame.extension.hex() == vector["extension_hex"]
    assert frames.unknown_flags(frame) == 0
    if frame.type < frames.IGNORABLE_TYPES_FROM:
        decode_body(frame)
    if vector["canonical"] and frame.type < frames.IGNORABLE_TYPES_FROM and frame.flags != 1:
        assert encode_again(frame).hex() == vector["hex"]
    elif vector["canonical"]:
        again = encode_frame(
            frame.type,
            frame.body,
            stream=frame.stream,
            sequence=frame.sequence,
            flags=frame.flags,
        )
        assert again.hex() == vector["hex"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_the_zoo_of_bad_frames_is_refused(vector: dict) -> None:
    message = bytes.fromhex(vector["hex"])
    if vector["stage"] == "frame":
        with pytest.raises(AitradingError) as caught:
            decode_frame(message)
    else:
        frame = decode_frame(message)
        with pytest.raises(AitradingError) as caught:
            decode_body(frame)
    assert caught.value.code == vector["code"]
    assert vector["field"] in (None, caught.value.fields.get("field"))
    assert "<" not in str(caught.value.message).replace("<=", "")


@given(
    kind=st.integers(0, 255),
    body=st.binary(max_size=300),
    stream=st.integers(0, (1 << 32) - 1),
    sequence=st.integers(0, frames.SEQUENCE_MAX),
    flags=st.integers(0, 0xFFFF),
)
def test_every_frame_survives_the_wire(
    kind: int, body: bytes, stream: int, sequence: int, flags: int
) -> None:
    message = encode_frame(kind, body, stream=stream, sequence=sequence, flags=flags)
    for form in (message, bytearray(message), memoryview(message)):
        frame = decode_frame(form)
        assert frame == (kind, flags, stream, sequence, body, b"")


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_every_single_bit_flip_is_detected(vector: dict) -> None:
    message = bytes.fromhex(vector["hex"])
    for position in range(len(message)):
        for bit in range(8):
            damaged = bytearray(message)
            damaged[position] ^= 1 << bit
            with pytest.raises(AitradingError):
                decode_frame(damaged)


@given(data=st.data(), body=st.binary(min_size=1, max_size=100))
def test_cut_or_extended_frames_are_detected(data: st.DataObject, body: bytes) -> None:
    message = encode_frame(FrameType.PING, body)
    cut = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(AitradingError):
        decode_frame(message[:cut])
    with pytest.raises(AitradingError):
        decode_frame(message + data.draw(st.binary(min_size=1, max_size=20)))


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_an_error_of_ours(message: bytes) -> None:
    with pytest.raises(AitradingError):
        decode_frame(message)
    with pytest.raises(AitradingError):
        decode_frame(frames.MAGIC + message)


@given(
    kind=st.sampled_from([*BODIES, FrameType.PING, FrameType.TICKS, FrameType.ACK]),
    body=st.binary(max_size=200),
)
def test_a_body_is_read_or_refused(kind: FrameType, body: bytes) -> None:
    frame = decode_frame(encode_frame(kind, body, stream=1, sequence=1))
    with contextlib.suppress(AitradingError):
        decode_body(frame)


def test_frames_and_acknowledgements_have_limits() -> None:
    largest = encode_frame(200, bytes(frames.FRAME_BYTES_MAX - frames.HEADER_BYTES))
    assert decode_frame(largest).type == 200
    with pytest.raises(AitradingError) as caught:
        decode_frame(encode_frame(200, bytes(frames.FRAME_BYTES_MAX - frames.HEADER_BYTES + 1)))
    assert caught.value.code == "LINK_FRAME_TOO_LARGE"
    too_many = encode_frame(FrameType.ACK, bytes(16 * (frames.ACKS_PER_FRAME_MAX + 1)))
    with pytest.raises(AitradingError) as caught:
        frames.decode_acks(decode_frame(too_many))
    assert caught.value.code == "LINK_FRAME_MALFORMED"


def test_rows_lie_on_eight_bytes_in_the_message() -> None:
    message = encode_frame(FrameType.TICKS, bytes(frames.TICKS_HEADER_BYTES))
    assert len(message) % 8 == 0


def test_a_full_batch_fits_the_frame_limit() -> None:
    rows = np.zeros(frames.BATCH_TICKS_MAX, TICK_DTYPE)
    batch = make_batch(UUID(int=0), 1, rows, receive_ns=0, broker_offset_s=0)
    message = frames.encode_ticks(1, batch)
    assert len(message) <= frames.FRAME_BYTES_MAX
    assert frames.decode_ticks(decode_frame(message)).ticks == frames.BATCH_TICKS_MAX


@pytest.mark.parametrize(("delay", "written"), [(-5, 0), (1 << 40, (1 << 32) - 1)])
def test_the_delay_saturates(delay: int, written: int) -> None:
    batch = make_batch(UUID(int=0), 1, np.zeros(1, TICK_DTYPE), receive_ns=0, broker_offset_s=0)
    frame = decode_frame(frames.encode_ticks(1, batch, link_delay_us=delay))
    assert frames.decode_ticks(frame).link_delay_us == written
