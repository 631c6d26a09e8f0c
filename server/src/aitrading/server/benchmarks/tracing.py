"""What following a request costs: the same request with and without the tracer, in one process.

The floor is the whole application (routing, authentication, limits, an answer of JSON) with a
tracer that nobody collects from, on the event loop that services run on; the handler runs as many
steps as a question to the stores has. Both run in turn, and medians count: other work on the
machine comes and goes, and it is processor time that is measured. `tracing.part_us` is what one recorded part with its steps costs alone, and
`tracing.sent_us` what it costs to pack it for the collector.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import uvloop
from starlette.types import Message, Scope

from aitrading.core.infrastructure.events import CollectTraces
from aitrading.core.infrastructure.tracing import (
    RequestTracer,
    SpanKind,
    TraceBacklog,
    TracePart,
    span,
)
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import PUBLIC, endpoint
from aitrading.server.testing.http import InProcessServer, application

ROUNDS: Final = 9
REQUESTS: Final = 400
STEPS: Final = 8
US_PER_S: Final = 1_000_000
PATH: Final = "/api/v1/steps"
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


class Answer(msgspec.Struct):
    """Something to encode."""

    steps: int


def handler() -> object:
    """Something with one endpoint; made here, because what a module declares is documented."""

    class Handler:
        @endpoint("GET", PATH, access=PUBLIC, summary="Steps of no time.", answer=Answer)
        async def get(self, call: Call) -> Answer:
            del call
            for _ in range(STEPS):
                with span(SpanKind.DATABASE, "bench.step"):
                    pass
            return Answer(steps=STEPS)

    return Handler()


async def run(*, long: bool = False) -> Figures:
    """Times of the two in turn, and of the parts of the difference."""
    rounds = ROUNDS * (5 if long else 1)
    with TemporaryDirectory() as folder:
        server = InProcessServer(Path(folder), "bench", SystemClock())
        followed: list[float] = []
        plain: list[float] = []
        for _ in range(rounds):
            plain.append(await _requests(server, None))
            followed.append(await _requests(server, TraceBacklog()))
        part_us, part = _recorded(server)
    floor, cost = statistics.median(plain), statistics.median(followed)
    return {
        "tracing.plain_us": floor,
        "tracing.followed_us": cost,
        "tracing.ratio": cost / floor,
        "tracing.part_us": part_us,
        "tracing.sent_us": _timed(lambda: msgspec.json.encode(CollectTraces(parts=(part,)))),
    }


async def _requests(server: InProcessServer, backlog: TraceBacklog | None) -> float:
    """Microseconds of one request, with all that surrounds a handler."""
    server.tracer = RequestTracer(
        service="bench", clock=server.clock, ids=server.ids, backlog=backlog
    )
    app = application(server, [handler()])
    trace = TraceContext.start(server.ids)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        del message

    began = time.process_time()
    for _ in range(REQUESTS):
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "headers": [(b"traceparent", str(trace).encode())],
            "state": {},
        }
        await app(scope, receive, send)
        if backlog is not None:
            backlog.take(STEPS + 1)
    return (time.process_time() - began) / REQUESTS * US_PER_S


def _recorded(server: InProcessServer) -> tuple[float, TracePart]:
    backlog = TraceBacklog()
    tracer = RequestTracer(service="bench", clock=server.clock, ids=server.ids, backlog=backlog)
    trace = TraceContext.start(server.ids)

    def once() -> None:
        with tracer.follow(SpanKind.REQUEST, "GET /x", trace):
            for _ in range(STEPS):
                with span(SpanKind.DATABASE, "bench.step"):
                    pass
        backlog.take(STEPS + 1)

    took_us = _timed(once)
    with tracer.follow(SpanKind.REQUEST, "GET /x", trace):
        for _ in range(STEPS):
            with span(SpanKind.DATABASE, "bench.step"):
                pass
    return took_us, backlog.take(STEPS + 1)[0]


def _timed(work: Callable[[], object]) -> float:
    """Microseconds of one call, the median of rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began_ns = time.process_time_ns()
        for _ in range(REQUESTS):
            work()
        rounds.append((time.process_time_ns() - began_ns) / REQUESTS * US_PER_S / NS_PER_S)
    return statistics.median(rounds)
