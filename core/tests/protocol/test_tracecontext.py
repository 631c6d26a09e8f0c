"""The W3C trace context: what is written is read, what is malformed starts a new trace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.protocol.tracecontext import FOLLOWED_ONE_IN, TraceContext, is_followed
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_example_of_the_specification() -> None:
    context = TraceContext.parse(f"00-{TRACE}-{SPAN}-01")
    assert context == TraceContext(TRACE, SPAN, sampled=True)
    assert str(context) == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f" 00-{TRACE}-{SPAN}-01\t", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_valid_headers(header: str, *, sampled: bool) -> None:
    assert TraceContext.parse(header) == TraceContext(TRACE, SPAN, sampled=sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 300,
    ],
)
def test_malformed_headers_are_none(header: str | None) -> None:
    assert TraceContext.parse(header) is None


@given(st.integers(0, 1 << 32))
def test_every_made_context_survives_both_forms(seed: int) -> None:
    ids = SystemIdFactory(ManualClock(), SeededRandomness(seed))
    context = TraceContext.start(ids)
    assert TraceContext.parse(str(context)) == context
    assert TraceContext.of_bytes(*context.to_bytes()) == context
    child = context.child(ids)
    assert child.trace_id == context.trace_id
    assert child.span_id != context.span_id


def test_one_trace_in_256_is_followed_by_its_id_alone() -> None:
    ids = SystemIdFactory(ManualClock(), SeededRandomness(1))
    traces = [bytes.fromhex(ids.trace_id()) for _ in range(100 * FOLLOWED_ONE_IN)]
    followed = sum(is_followed(trace) for trace in traces)
    assert 60 < followed < 150
    assert not is_followed(bytes(16))


def test_zero_bytes_are_no_trace() -> None:
    assert TraceContext.of_bytes(bytes(16), bytes(8)) is None
    assert TraceContext.of_bytes(b"\1" * 16, bytes(8)) is None


@given(st.text(max_size=80))
def test_any_text_parses_or_not(header: str) -> None:
    context = TraceContext.parse(header)
    assert context is None or TraceContext.parse(str(context)) == context
