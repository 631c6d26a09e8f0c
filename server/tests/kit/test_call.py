"""What a request asks for is read once, at the edge, and odd words are refused there."""

from datetime import date, timedelta
from typing import Any

import pytest
from starlette.requests import Request

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.server.kit.call import Call, Caller

NONE: Any = None
"""Nothing here asks a limit."""


def asked(query: str) -> Call:
    scope = {
        "type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query.encode(),
    }  # fmt: skip
    return Call(
        Request(scope),
        caller=Caller(),
        request_id="",
        trace=TraceContext.start(SystemIdFactory(SystemClock(), SystemRandomness())),
        body_limit_bytes=0,
        limits=NONE,
    )


@pytest.mark.parametrize("text", ["1970-01-01", "2026-11-29", "2199-12-31"])
def test_a_day_that_is_taken_has_a_day_before_and_after_it(text: str) -> None:
    day = asked(f"day={text}").day("day")
    assert day is not None
    assert day - timedelta(days=1) < date.fromisoformat(text) < day + timedelta(days=1)


@pytest.mark.parametrize(
    "text", ["9999-12-31", "0001-01-01", "2200-01-01", "1969-12-31", "today", "", "2026-02-30"]
)
def test_a_day_out_of_bounds_or_no_day_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(AitradingError, match="`day`") as refused:
        asked(f"day={text}").day("day")
    assert refused.value.code == "REQUEST_INVALID"


def test_a_flag_is_true_or_false_and_nothing_else() -> None:
    assert asked("open=true").flag("open")
    assert not asked("open=false").flag("open")
    assert not asked("").flag("open")
    for text in ("banana", "True", "1", ""):
        with pytest.raises(AitradingError, match="`open` is not true or false"):
            asked(f"open={text}").flag("open")
