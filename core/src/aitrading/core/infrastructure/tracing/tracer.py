"""The tracer of one process, and the span that code opens without knowing of it.

Steps are leaves of their part: a request of this house is a chain of waits, so what a person
wants to see is which of them was long. Only the part itself is bound to the running task; opening
a step is one look at a context variable where nothing is followed.
"""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from aitrading.core.infrastructure.error_dna import dna_of
from aitrading.core.infrastructure.tracing.backlog import TraceBacklog
from aitrading.core.infrastructure.tracing.spans import (
    MAX_CODE_CHARS,
    MAX_NAME_CHARS,
    Outcome,
    Span,
    SpanKind,
    TracePart,
)
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.tracecontext import TraceContext

MAX_SPANS: Final = 200
"""Of one part; steps beyond are counted as cut."""
CANCELLED: Final = "CANCELLED"
"""The code of what was given up before it ended: the caller went away, or its time was over."""
_SPAN_IDS: Final = 1 << 64


class RequestTracer:
    """Opens parts of traces and hands on those that ended."""

    def __init__(
        self, *, service: str, clock: Clock, ids: IdFactory, backlog: TraceBacklog | None = None
    ) -> None:
        self.service = service
        self.backlog = backlog
        self._clock = clock
        self._ids = ids

    def span_id(self) -> str:
        """For a part that no request of another process has named yet."""
        return self._ids.span_id()

    def follow(
        self,
        kind: SpanKind,
        name: str,
        trace: TraceContext,
        *,
        parent: str | None = None,
        tenant: str | None = None,
    ) -> "Following":
        """What this process does for a trace until the end of the block.

        `trace` names the part itself, `parent` the span of another process that asked for it.
        Without a backlog nobody collects, and nothing is recorded.
        """
        return Following(self, self._clock, kind, name, trace, parent, tenant)

    def ended(self, part: TracePart) -> None:
        """Hand on a part; never waits and never raises."""
        if self.backlog is not None:
            self.backlog.add(part)


class _Ending:
    """How something ends: as it is told, else by what passes through."""

    __slots__ = ("code", "fingerprint", "outcome")

    def __init__(self) -> None:
        self.outcome = Outcome.OK
        self.code: str | None = None
        self.fingerprint: str | None = None

    def fail(self, exc: BaseException) -> None:
        """Note that it ended with this; the first word counts."""
        if self.outcome is not Outcome.OK:
            return
        if not isinstance(exc, Exception):
            self.outcome, self.code = Outcome.REFUSED, CANCELLED
        elif isinstance(exc, AitradingError) and exc.spec.category is Category.DENIED:
            self.outcome, self.code = Outcome.REFUSED, exc.code[:MAX_CODE_CHARS]
        else:
            dna = dna_of(exc)
            self.outcome, self.code = Outcome.FAILED, dna.code[:MAX_CODE_CHARS]
            self.fingerprint = dna.fingerprint


class Following(_Ending):
    """The part of a trace in this process, while it runs."""

    __slots__ = (
        "_began_ns", "_began_wall_ns", "_clock", "_cut", "_ids", "_kind", "_parent", "_spans",
        "_token", "_tracer", "name", "running", "tenant", "trace",
    )  # fmt: skip

    def __init__(
        self,
        tracer: RequestTracer,
        clock: Clock,
        kind: SpanKind,
        name: str,
        trace: TraceContext,
        parent: str | None,
        tenant: str | None,
    ) -> None:
        super().__init__()
        self.name = name
        self.tenant = tenant
        self.trace = trace
        self.running = False
        self._tracer = tracer
        self._clock = clock
        self._kind = kind
        self._parent = parent
        self._ids = int(trace.span_id, 16)
        self._spans: list[Span] = []
        self._cut = 0

    def __enter__(self) -> Self:
        self._token: Token[Following | None] = _followed.set(self)
        self.begin()
        return self

    def begin(self) -> None:
        """Time it from here; for what is no block of one task."""
        self._began_wall_ns = self._clock.now_ns()
        self._began_ns = self._clock.monotonic_ns()
        self.running = self._tracer.backlog is not None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _followed.reset(self._token)
        if exc is not None:
            self.fail(exc)
        self.end()

    def end(self) -> None:
        """It is over: hand it on, once."""
        if not self.running:
            return
        self.running = False
        whole = Span(
            id=self.trace.span_id,
            parent=self._parent,
            kind=self._kind,
            name=self.name[:MAX_NAME_CHARS],
            began_ns=self._began_wall_ns,
            took_ns=self._clock.monotonic_ns() - self._began_ns,
            outcome=self.outcome,
            code=self.code,
            fingerprint=self.fingerprint,
        )
        self._tracer.ended(
            TracePart(
                trace_id=self.trace.trace_id,
                service=self._tracer.service,
                spans=(whole, *self._spans),
                tenant=self.tenant,
                cut=self._cut,
            )
        )

    def now_ns(self) -> int:
        """Monotonic time by the clock of this part."""
        return self._clock.monotonic_ns()

    def next_id(self) -> str:
        """A span id of this part's own; no randomness is asked for again."""
        self._ids = (self._ids + 1) % _SPAN_IDS or 1
        return f"{self._ids:016x}"

    def note(self, step: "_Step", began_ns: int) -> None:
        """Keep an ended step; one that outlived its part is nobody's any more."""
        if not self.running:
            return
        if len(self._spans) >= MAX_SPANS:
            self._cut += 1
            return
        self._spans.append(
            Span(
                id=step.id,
                parent=self.trace.span_id,
                kind=step.kind,
                name=step.name[:MAX_NAME_CHARS],
                began_ns=self._began_wall_ns + began_ns - self._began_ns,
                took_ns=self._clock.monotonic_ns() - began_ns,
                outcome=step.outcome,
                code=step.code,
                fingerprint=step.fingerprint,
            )
        )


class _Step(_Ending):
    """One step of a part."""

    __slots__ = ("_began_ns", "_part", "id", "kind", "name")

    def __init__(self, part: Following, kind: SpanKind, name: str) -> None:
        super().__init__()
        self._part = part
        self.kind = kind
        self.name = name
        self.id = part.next_id()

    @property
    def traceparent(self) -> str | None:
        """What another process needs to call itself a child of this step."""
        return str(TraceContext(self._part.trace.trace_id, self.id))

    def __enter__(self) -> Self:
        self._began_ns = self._part.now_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if exc is not None:
            self.fail(exc)
        self._part.note(self, self._began_ns)


class _Unfollowed:
    """A step of what nobody follows."""

    __slots__ = ()
    traceparent: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to note."""


_followed: Final[ContextVar[Following | None]] = ContextVar("followed", default=None)
_UNFOLLOWED: Final = _Unfollowed()


def span(kind: SpanKind, name: str) -> "_Step | _Unfollowed":
    """Time a step of whatever request runs here; costs next to nothing where none is followed.

    The name is chosen by the program: a statement's, an operation's, never a value.
    """
    part = _followed.get()
    if part is None or not part.running:
        return _UNFOLLOWED
    return _Step(part, kind, name)


def current_traceparent() -> str | None:
    """The running part, as the next process reads it."""
    part = _followed.get()
    return str(part.trace) if part is not None and part.running else None
