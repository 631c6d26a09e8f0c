"""The pages a person opens: the terminal, the login, the API's description."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from aitrading.server.dashboard.api_document import ApiDocument
from aitrading.server.dashboard.assets import Assets
from aitrading.server.dashboard.report import GuardLine, HopLine, PartLine, TerminalView

TEMPLATES = Path(__file__).parent / "templates"
LOGIN = "/login"
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "font-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
CONTENT_SECURITY_POLICY = "; ".join(_POLICY)
_SEE_OTHER = 303
_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY, "cache-control": "no-store"}

_BLANK = {
    "part": PartLine(name="", state=""),
    "guard": GuardLine(service="", kind="", name="", state=""),
    "hop": HopLine(
        name="",
        service="",
        kind="",
        state="",
        reason="",
        count=0,
        failed=0,
        p50_ms=None,
        p99_ms=None,
        last_seen=None,
        last_trace_id=None,
    ),
}
"""What the script clones for a line that appears while the page is open."""

Viewer = Callable[[Request], Awaitable[TerminalView | None]]
"""What the person behind a request may see; None when nobody is logged in."""


class Pages:
    """Renders the pages; everything on them comes from a view, nothing is decided here."""

    def __init__(self, *, viewer: Viewer, document: ApiDocument, demo: bool) -> None:
        self._viewer = viewer
        self._document = document
        self._demo = demo
        self._assets = Assets()
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["static"] = self._assets.url  # pyright: ignore[reportArgumentType]

    def routes(self) -> tuple[Route, ...]:
        """Every page and the static files."""
        return (
            Route("/", self.terminal, methods=["GET"]),
            Route(LOGIN, self.login, methods=["GET"]),
            Route("/docs", self.docs, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            self._assets.route(),
        )

    async def terminal(self, request: Request) -> Response:
        """The terminal for a person who is logged in; anybody else is sent to the login."""
        view = await self._viewer(request)
        if wants_json(request):
            return _json(view) if view else _json({"login": LOGIN}, status=401)
        if view is None:
            return RedirectResponse(LOGIN, _SEE_OTHER, headers=_HEADERS)
        return self._page("terminal.html", view=view, blank=_BLANK)

    async def login(self, request: Request) -> Response:
        """The login form, or straight to the terminal."""
        if await self._viewer(request) is not None:
            return RedirectResponse("/", _SEE_OTHER, headers=_HEADERS)
        return self._page("login.html", demo=self._demo)

    async def docs(self, request: Request) -> Response:
        """The API for people; the same as `/openapi.json` for programs."""
        if wants_json(request):
            return await self.openapi(request)
        return self._page("docs.html", api=self._document.view())

    async def openapi(self, _request: Request) -> Response:
        """The OpenAPI document of every service."""
        return _json(self._document.content)

    def _page(self, template: str, **values: object) -> Response:
        return HTMLResponse(
            self._templates.get_template(template).render(values), headers=_HEADERS
        )


def wants_json(request: Request) -> bool:
    """A browser asks for HTML; a program that names JSON gets JSON."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def _json(content: object, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
