"""A connection that stays, as parts of a trace: its greeting when that is over, its life at its end."""

from aitrading.core.infrastructure.tracing.spans import MAX_CODE_CHARS, SpanKind
from aitrading.core.infrastructure.tracing.tracer import Following, RequestTracer
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.tracecontext import TraceContext


class ConnectionTrace:
    """Made when somebody asks for the connection; `traceparent` is what came with that."""

    def __init__(
        self, tracer: RequestTracer, name: str, traceparent: str | None, *, ids: IdFactory
    ) -> None:
        given = TraceContext.parse(traceparent)
        self.trace = given.child(ids) if given else TraceContext.start(ids)
        self._asked_by = given.span_id if given else None
        self._tracer = tracer
        self._name = name
        self._ids = ids
        self._life: Following | None = None

    def greeting(self, tenant: str | None = None) -> Following:
        """What happens until it is open, or refused; a context manager."""
        return self._tracer.follow(
            SpanKind.REQUEST, f"GET {self._name}", self.trace, parent=self._asked_by, tenant=tenant
        )

    def opened(self, tenant: str) -> None:
        """The greeting went well; its life is timed from here."""
        self._life = self._tracer.follow(
            SpanKind.CONNECTION,
            self._name,
            self.trace.child(self._ids),
            parent=self.trace.span_id,
            tenant=tenant,
        )
        self._life.begin()

    def ended(self, code: str | None = None, fault: AitradingError | None = None) -> None:
        """It is closed: by what, and whose fault that was, if any; nothing if it never opened."""
        life, self._life = self._life, None
        if life is None:
            return
        if fault is not None:
            life.fail(fault)
        elif code is not None:
            life.code = code[:MAX_CODE_CHARS]
        life.end()
