"""Following one request: what each process did for it, when, for how long, and how it ended.

`RequestTracer.follow` opens the part of a trace that happens in this process; `span` times a step
inside of it, wherever that is in the program. Parts leave by the `TraceReporter`; `assemble` puts
the parts of all processes together again.
"""

from aitrading.core.infrastructure.tracing.assembly import AssembledTrace, TraceLine, assemble
from aitrading.core.infrastructure.tracing.backlog import TraceBacklog
from aitrading.core.infrastructure.tracing.connection import ConnectionTrace
from aitrading.core.infrastructure.tracing.spans import Outcome, Span, SpanKind, TracePart
from aitrading.core.infrastructure.tracing.tracer import (
    RequestTracer,
    current_traceparent,
    span,
)

__all__ = [
    "AssembledTrace",
    "ConnectionTrace",
    "Outcome",
    "RequestTracer",
    "Span",
    "SpanKind",
    "TraceBacklog",
    "TraceLine",
    "TracePart",
    "assemble",
    "current_traceparent",
    "span",
]
