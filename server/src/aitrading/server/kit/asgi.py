"""The HTTP application of a service: probes, endpoints, pages; one place for every rule.

Each request gets a request id and a trace, is authenticated as its endpoint declares, bounded in
size and time, and answered with security headers; every error has the one JSON shape. Nothing an
endpoint raises reaches the server behind it.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aitrading.core.infrastructure.health.probes import PATHS as PROBE_PATHS
from aitrading.core.infrastructure.health.probes import probe_app
from aitrading.core.infrastructure.health.registry import HealthRegistry
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.resilience.timeouts import time_limit
from aitrading.core.infrastructure.tracing import RequestTracer, SpanKind
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import IdFactory
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.protocol.tracecontext import TRACEPARENT, TraceContext
from aitrading.core.security.claims import Scope as Right
from aitrading.server.kit.authentication import SAFE_METHODS, Authenticator, require_same_origin
from aitrading.server.kit.call import Call, Caller, head_of
from aitrading.server.kit.endpoints import Endpoint
from aitrading.server.kit.http_errors import (
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    REQUEST_INVALID,
    error_json,
)
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.rate_headers import rate_headers
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.kit.refusal_headers import (
    REQUEST_ID,
    SECURITY_HEADERS,
    refusal_headers,
    request_id_of,
)
from aitrading.server.kit.step_up import require_recent, require_second_factor
from aitrading.server.kit.step_up_settings import StepUpSettings

REQUESTS_TOTAL: Final = Metric(
    name="aitrading_http_requests_total",
    kind=MetricKind.COUNTER,
    help="Requests answered, by route and status class.",
    labels=("method", "route", "status"),
)
REQUEST_SECONDS: Final = Metric(
    name="aitrading_http_request_duration_s",
    kind=MetricKind.HISTOGRAM,
    help="Time from the request's head to the end of the answer.",
    labels=("route",),
)
OTHER_ROUTE: Final = "other"
_SECURITY_HEADERS: Final = [(name.encode(), v.encode()) for name, v in SECURITY_HEADERS.items()]
_log: Final = get_logger(__name__)


class Created(Response):
    """201 with a struct as JSON."""

    def __init__(self, value: msgspec.Struct) -> None:
        super().__init__(msgspec.json.encode(value), 201, media_type="application/json")


@dataclass(frozen=True, kw_only=True)
class AppParts:
    """What an application is made of besides its endpoints."""

    service: str
    authenticator: Authenticator
    health: HealthRegistry
    metrics: Metrics
    clock: Clock
    ids: IdFactory
    limits: RateLimits
    tracer: RequestTracer
    step_up: Callable[[], StepUpSettings] = StepUpSettings
    """How recent a proof must be now, for endpoints that ask for one."""
    on_error: Callable[[Exception], object] | None = None
    """Told of every error that is not a plain refusal; the service's `ErrorHandler.classify`."""


def build_app(
    parts: AppParts, endpoints: Sequence[Endpoint], *, pages: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """The service's application: `/health…`, `/metrics`, the endpoints, then the pages."""
    routes: list[BaseRoute] = [
        Route(each.path, _EndpointApp(parts, each), methods=[each.method]) for each in endpoints
    ]
    return _Guard(parts, Router([*routes, *pages], default=_nothing_here, redirect_slashes=False))


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    del receive, send
    raise NOT_FOUND.error(path=scope["path"])


class _EndpointApp:
    """Authenticates, bounds and runs one handler."""

    def __init__(self, parts: AppParts, declared: Endpoint) -> None:
        self._parts = parts
        self._endpoint = declared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = self._endpoint
        scope["aitrading.route"] = declared.path
        scope["aitrading.public"] = declared.access.public
        request = Request(scope, receive)
        caller = await self._caller(scope, request)
        if not declared.access.peers:
            _require_known(request, declared)
        call = Call(
            request,
            caller=caller,
            request_id=scope["aitrading.request_id"],
            trace=scope["aitrading.trace"],
            body_limit_bytes=declared.body_limit_bytes,
            shape=declared.body,
            limits=self._parts.limits,
        )
        tenant = scope["aitrading.tenant"] = caller.person.tenant if caller.person else None
        with bind_context(tenant=tenant):
            if not declared.access.peers:
                scope["aitrading.rate"] = await self._parts.limits.admit(
                    caller.person, declared.limit, address=call.network
                )
            async with time_limit(declared.timeout_s, what=declared.path):
                if declared.limit is not LimitKind.EXEMPT:  # what stops is never refused
                    await call.require_declared_body()
                answer = await self._handle(call)
        await _as_response(answer)(scope, receive, send)

    async def _caller(self, scope: Scope, request: Request) -> Caller:
        access = self._endpoint.access
        authenticator = self._parts.authenticator
        if access.peers:
            state = scope.get("state", {})
            return Caller(service=authenticator.peer(request.headers, state, access.peers))
        if access.public:
            if request.method not in SAFE_METHODS:
                require_same_origin(request.headers, required=False)
            return Caller()
        reduces = self._endpoint.limit is LimitKind.EXEMPT
        person = await authenticator.person(head_of(request), access.scope, reduces=reduces)
        scope["aitrading.person"] = person
        if access.scope is Right.ADMIN:
            require_second_factor(person, self._parts.step_up())
        if access.step_up:
            require_recent(person, self._parts.step_up(), self._parts.clock.now_ns())
        return Caller(person=person)

    async def _handle(self, call: Call) -> object:
        if self._endpoint.handler is None:
            raise LookupError(f"{self._endpoint.path} has no handler: use endpoints_of")
        return await self._endpoint.handler(call)


class _Guard:
    """Around everything: ids, trace, headers, probes, metrics, and the last word on errors."""

    def __init__(self, parts: AppParts, inner: ASGIApp) -> None:
        self._parts = parts
        self._inner = inner
        self._probes = probe_app(parts.health, parts.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("path") in PROBE_PATHS:
            await self._probes(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = TraceContext.parse(headers.get(TRACEPARENT))
        ids = self._parts.ids
        trace = given.child(ids) if given else TraceContext.start(ids)
        request_id = request_id_of(headers.get(REQUEST_ID, ""), ids)
        scope["app"] = self
        scope["aitrading.request_id"] = request_id
        scope["aitrading.trace"] = trace
        answer = _Answer(send, request_id, trace, scope)
        began_ns = self._parts.clock.monotonic_ns()
        asked_by = given.span_id if given else None
        with (
            bind_context(trace=trace, request_id=request_id),
            self._parts.tracer.follow(SpanKind.REQUEST, "", trace, parent=asked_by) as part,
        ):
            try:
                await self._inner(scope, receive, answer.send)
            except Exception as exc:  # noqa: BLE001 - the last word: nothing may escape to the server
                error = _as_error(exc, scope)
                part.fail(exc if error.spec is INTERNAL_ERROR else error)
                await self._fail(scope, receive, answer, exc, error)
            finally:
                part.name = f"{scope['method']} {scope.get('aitrading.route', OTHER_ROUTE)}"
                tenant = scope.get("aitrading.tenant")
                part.tenant = str(tenant) if tenant else None
            self._measure(scope, answer.status, began_ns)

    async def _fail(
        self,
        scope: Scope,
        receive: Receive,
        answer: "_Answer",
        exc: Exception,
        error: AitradingError,
    ) -> None:
        if error.spec.category is not Category.DENIED and self._parts.on_error is not None:
            with bind_context(tenant=scope.get("aitrading.tenant")):
                self._parts.on_error(exc)
        if (person := scope.get("aitrading.person")) is not None and _is_denial(error, scope):
            self._parts.authenticator.denied(person, head_of(Request(scope)), error.code)
        if error.spec is INTERNAL_ERROR:
            _log.error("a request failed", exc_info=exc, path=scope["path"])
        if answer.status:
            raise ConnectionAbortedError("the answer had begun when it failed") from exc
        if scope.get("aitrading.public") and error.spec.category is Category.FATAL:
            error = INTERNAL_ERROR.error()  # what is broken inside is nothing for strangers
        headers = dict(exc.headers or {}) if isinstance(exc, HTTPException) else {}
        headers |= refusal_headers(error)
        trace_id = scope["aitrading.trace"].trace_id
        body = error_json(error, scope["aitrading.request_id"], trace_id)
        status = error.spec.http_status
        response = Response(body, status, headers, media_type="application/json")
        await response(scope, receive, answer.send)

    def _measure(self, scope: Scope, status: int, began_ns: int) -> None:
        route = scope.get("aitrading.route", OTHER_ROUTE)
        elapsed_s = (self._parts.clock.monotonic_ns() - began_ns) / NS_PER_S
        status_class = f"{status // 100}xx"
        method = scope["method"] if route != OTHER_ROUTE else "any"
        self._parts.metrics.increment(
            REQUESTS_TOTAL, method=method, route=route, status=status_class
        )
        self._parts.metrics.observe(REQUEST_SECONDS, elapsed_s, route=route)


class _Answer:
    """The way out: adds the headers that every answer carries and remembers the status."""

    def __init__(
        self, send: Send, request_id: str, trace: TraceContext, asked: Mapping[str, Any]
    ) -> None:
        self._send = send
        self._asked = asked
        self._always = (
            (REQUEST_ID.encode(), request_id.encode()),
            (TRACEPARENT.encode(), str(trace).encode()),
        )
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._complete(message)
        await self._send(message)

    def _complete(self, message: MutableMapping[str, Any]) -> None:
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        chosen = {name for name, _ in headers}
        message["headers"] = [
            *headers,
            *self._always,
            *rate_headers(self._asked.get("aitrading.rate")),
            *(pair for pair in _SECURITY_HEADERS if pair[0] not in chosen),
        ]


def _require_known(request: Request, declared: Endpoint) -> None:
    """A misspelt parameter that is ignored gives other data than was asked for, without a word."""
    known = [field.name for field in declared.query]
    for name in request.query_params:
        if name not in known:
            such = ", ".join(f"`{each}`" for each in known) or "none"
            raise REQUEST_INVALID.error(
                reason=f"`{name[:64]}` is no parameter of this address; it has {such}"
            )


def _as_response(answer: object) -> Response:
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _as_error(exc: Exception, scope: Scope) -> AitradingError:
    if isinstance(exc, AitradingError):
        return exc
    if isinstance(exc, HTTPException) and exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return METHOD_NOT_ALLOWED.error(path=scope["path"], method=scope["method"])
    if isinstance(exc, HTTPException) and exc.status_code == HTTPStatus.NOT_FOUND:
        return NOT_FOUND.error(path=scope["path"])
    return INTERNAL_ERROR.error()


def _is_denial(error: AitradingError, scope: Scope) -> bool:
    """Whether somebody asked for what is not theirs.

    Another organisation's object cannot be told from one that there is not: nothing here sees it.
    """
    if error.spec.category is not Category.DENIED:
        return False
    names_object = error.spec.http_status == HTTPStatus.NOT_FOUND and bool(scope["path_params"])
    return error.spec.http_status == HTTPStatus.FORBIDDEN or names_object
