"""SETTINGS is said where both sides know it; HELLO has room for a checkpoint, and no more."""

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.link.events import HelloReceived, SettingsTold
from aitrading.core.protocol.link.frames import (
    FrameType,
    decode_control,
    decode_frame,
    encode_control,
)
from aitrading.core.protocol.link.messages import (
    CHECKPOINT_CHARS_MAX,
    FEATURE_SETTINGS,
    FEATURE_TRUTH,
    Hello,
    SettingsNews,
)
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    ServerProfile,
    ServerSession,
)
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.throwaway_ca import IDENTITY

NEWS = SettingsNews(version=7)


def told(features: tuple[str, ...]) -> tuple[bool, list[object]]:
    clock = ManualClock()
    client = ClientSession(clock, ClientProfile(software="c", features=features))
    server = ServerSession(
        clock, ServerProfile(tenant=IDENTITY.tenant, device=IDENTITY.device, software="s")
    )
    client.start()
    for message in client.outgoing():
        assert any(isinstance(one, HelloReceived) for one in server.receive(message))
    server.accept("s", {})
    said = server.tell_settings(NEWS)
    return said, [event for message in server.outgoing() for event in client.receive(message)]


def test_who_knows_it_is_told_and_who_does_not_is_left_alone() -> None:
    said, events = told((FEATURE_TRUTH, FEATURE_SETTINGS))
    assert (said, events[-1]) == (True, SettingsTold(NEWS))
    said, events = told((FEATURE_TRUTH,))
    assert not said
    assert not any(isinstance(event, SettingsTold) for event in events)


def test_the_bytes_are_the_documented_ones() -> None:
    frame = encode_control(FrameType.SETTINGS, NEWS)
    assert (frame[9], frame[32:]) == (147, b'{"version":7}')
    assert encode_control(FrameType.SETTINGS, SettingsNews())[32:] == b"{}"


@pytest.mark.parametrize(("length", "fits"), [(0, True), (1, True), (CHECKPOINT_CHARS_MAX, True), (CHECKPOINT_CHARS_MAX + 1, False)])  # fmt: skip
def test_a_checkpoint_travels_as_it_is_and_is_bounded(length: int, *, fits: bool) -> None:
    hello = Hello(
        software="c", versions=(1,), client_time_ns=5, frame_bytes_max=65_536,
        checkpoint="\u2713" * length,
    )  # fmt: skip
    body = encode_control(FrameType.HELLO, hello)
    start = b'{"software":"c","versions":[1],"client_time_ns":5,"frame_bytes_max":65536'
    rest = f',"checkpoint":"{hello.checkpoint}"}}'.encode() if length else b"}"
    assert body[32:] == start + rest
    if fits:
        assert decode_control(decode_frame(body), Hello) == hello
    else:
        with pytest.raises(AitradingError) as refusal:
            decode_control(decode_frame(body), Hello)
        assert refusal.value.code == "LINK_FRAME_MALFORMED"
