"""The page over HTTP, in front of the probes: three files and one JSON, for this machine alone.

A page of a stranger that got its own name resolved to this machine would be of the same origin as
what it asks: so the name in `Host` must be one of this machine's own.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import msgspec

from aitrading.core.infrastructure.health.probes import AsgiApp, Receive, Scope, Send

OWN_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DATA_PATH: Final = "/page.json"
_FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.svg": ("page.svg", "image/svg+xml"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def page_app(view: Callable[[], dict[str, Any]], probes: AsgiApp) -> AsgiApp:
    """Answers the page and gives everything else to the probes."""
    folder = files(__package__ or "").joinpath("static")
    content = {
        path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await probes(scope, receive, send)
        elif not is_own_name(scope):
            await _send(send, scope, 421, b"This page answers to names of this machine.\n")
        elif scope["path"] == DATA_PATH or scope["path"] in content:
            await _answer(scope, send)
        else:
            await probes(scope, receive, send)

    async def _answer(scope: Scope, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(send, scope, 405, b"Use GET.\n")
        elif scope["path"] == DATA_PATH:
            await _send(send, scope, 200, msgspec.json.encode(view()), "application/json")
        else:
            await _send(send, scope, 200, *content[scope["path"]])

    return app


def is_own_name(scope: Scope) -> bool:
    """Whether the request names this machine as loopback names it."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return False
    host = hosts[0].decode("latin-1").lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name in OWN_NAMES


async def _send(
    send: Send, scope: Scope, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"
) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
