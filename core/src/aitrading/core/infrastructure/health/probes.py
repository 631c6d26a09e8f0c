"""The probe endpoints as a tiny ASGI application, and as plain answers.

Server services mount the same answers in their own application.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from aitrading.core.infrastructure import metrics as metrics_module
from aitrading.core.infrastructure.health.registry import HealthRegistry
from aitrading.core.infrastructure.metrics import Metrics

JSON: Final = "application/json"
PATHS: Final = ("/health/live", "/health/ready", "/health", "/metrics")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ProbeAnswer(msgspec.Struct, frozen=True):
    """One complete answer; nothing of it may be cached."""

    status: int
    content_type: str
    body: bytes


def answer_probe(path: str, health: HealthRegistry, metrics: Metrics) -> ProbeAnswer | None:
    """Answer one of `PATHS`, or None for any other path.

    `/health/ready` is 503 while the process is not ready; `/health` itself is always 200, since
    it did answer.
    """
    match path:
        case "/health/live":
            return _json(200, {"service": health.service, "live": True})
        case "/health/ready":
            ready = health.ready()
            body = {"service": health.service, "ready": ready, "state": health.state().value}
            return _json(200 if ready else 503, body)
        case "/health":
            return _json(200, health.report())
        case "/metrics":
            return ProbeAnswer(200, metrics_module.CONTENT_TYPE, metrics.render())
        case _:
            return None


def probe_app(health: HealthRegistry, metrics: Metrics) -> AsgiApp:
    """An ASGI application with the probe endpoints and nothing else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(scope, send)

    async def _respond(scope: Scope, send: Send) -> None:
        answer = answer_probe(scope["path"], health, metrics)
        if answer is None:
            answer = _json(404, {"error": {"code": "NOT_FOUND", "message": "No such probe."}})
        elif scope["method"] not in {"GET", "HEAD"}:
            answer = _json(405, {"error": {"code": "METHOD_NOT_ALLOWED", "message": "Use GET."}})
        await _send(answer, send, with_body=scope["method"] != "HEAD")

    return app


def _json(status: int, body: object) -> ProbeAnswer:
    return ProbeAnswer(status, JSON, msgspec.json.encode(body))


async def _send(answer: ProbeAnswer, send: Send, *, with_body: bool) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
