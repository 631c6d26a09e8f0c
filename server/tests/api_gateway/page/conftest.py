"""The page behind a real edge, in a real browser, fed by a stream that the test controls."""

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from harness.browser import patient_context, running_browser
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aitrading.server.api_gateway.edge.config import RateLimit
from aitrading.server.dashboard.api_document import ApiDocument
from aitrading.server.dashboard.pages import Pages
from aitrading.server.dashboard.report import (
    ChainLine,
    GuardLine,
    HopLine,
    PartLine,
    TerminalView,
    TradingLine,
)
from aitrading.server.kit.http_servers import KEEP_ALIVE_S

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
COOKIE = "__Host-aitrading"
HALT_REASON = "Orders are refused with TRADING_NOT_AVAILABLE: this release has no order engine."
LIMITS = {"delayed_after_s": 10, "stale_after_s": 60, "dead_after_s": 900, "heartbeat_s": 20}
PONG = b'{"type":"pong"}'
NO_ANSWER = {"error": {"code": "X", "message": "No answer.", "remedy": "Wait."}}


def stamp(age_s: float = 0.0) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=age_s)  # noqa: TID251 - a browser's real clock
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Backend:
    """What the gateway and the bridge answer; a test changes it while the page is open."""

    def __init__(self) -> None:
        self.view = example_view()
        self.token_is_old = False
        self.logouts = 0
        self.healthy = True
        self.token = ""
        self._sockets: set[asyncio.StreamWriter] = set()
        self.streaming = self.answering = True
        self.limits = dict(LIMITS)
        self.pongs = 0
        self.known: list[dict[str, Any]] = []
        self.audited: list[dict[str, Any]] = []
        self.standing: list[dict[str, Any]] = []
        self.auditable = True
        self.traces: list[dict[str, Any]] = []
        self.trace: dict[str, Any] = {}
        self.traced = True
        self.alerts: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.certificate = example_certificate()
        self.signed = "e30.e30.c2ln"
        self.evident = True
        self.quarantine: list[dict[str, Any]] = []
        self.doubted: list[dict[str, Any]] = []
        self.connected: list[dict[str, Any]] | None = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def fail(self, service: str) -> None:
        """Report a service as FAILED."""
        services = tuple(
            msgspec.structs.replace(line, state="FAILED") if line.name == service else line
            for line in self.view.services
        )
        self.view = msgspec.structs.replace(self.view, services=services, status="FAILED")

    def problem(self, sentence: str) -> None:
        """Report something old or missing."""
        self.view = msgspec.structs.replace(self.view, problems=(sentence,))

    def stamp(self, age_s: float) -> str:
        return stamp(age_s)

    def reset(self) -> None:
        """Everything works again, for the next test."""
        self.view = example_view()
        self.healthy = self.streaming = self.answering = True
        self.limits = dict(LIMITS)
        self.known, self.connected, self.alerts, self.gaps = [], [], [], []
        self.certificate, self.evident = example_certificate(), True
        self.quarantine, self.doubted = [], []
        self.audited, self.standing = [], []
        self.auditable = self.traced = True
        self.traces, self.trace = [], {}
        self.token_is_old = False
        self.logouts = 0

    # --- the gateway ---

    def app(self) -> Starlette:
        document = ApiDocument(DOCUMENT)
        pages = Pages(viewer=self._viewer, document=document, demo=True)
        return Starlette(
            routes=[
                *pages.routes(),
                Route("/health/live", lambda _: Response("ok")),
                Route("/api/v1/health", self._health),
                Route("/api/v1/connections", self._connections),
                Route("/api/v1/devices", self._devices),
                Route("/api/v1/devices/standing", self._standing),
                Route("/api/v1/alerts", self._alerts),
                Route("/api/v1/feeds/gaps", self._gaps),
                Route("/api/v1/feeds/certificate", self._certificate),
                Route("/api/v1/feeds/quarantine", self._quarantine),
                Route("/api/v1/feeds/quarantine/ticks", self._doubted),
                Route("/api/v1/quotes", self._quotes),
                Route("/api/v1/ticks", self._no_ticks),
                Route("/api/v1/security-events", self._security),
                Route("/api/v1/traces", self._traces),
                Route("/api/v1/traces/{trace}", self._trace),
                Route("/api/v1/auth/login", self._login, methods=["POST"]),
                Route("/api/v1/auth/refresh", self._refresh, methods=["POST"]),
                Route("/api/v1/auth/logout", self._logout, methods=["POST"]),
            ]
        )

    async def _viewer(self, request: Request) -> TerminalView | None:
        return self.view if request.cookies.get(COOKIE) else None

    async def _health(self, _: Request) -> Response:
        if not self.healthy:
            return _json(NO_ANSWER, 503)
        return _json(msgspec.structs.replace(self.view, now=stamp()))

    async def _connections(self, _: Request) -> Response:
        if self.connected is None:
            return _json(NO_ANSWER, 503)
        return _json({"items": self.connected})

    async def _devices(self, _: Request) -> Response:
        return _json({"devices": [{"device": "d1", "name": "desk"}]})

    async def _standing(self, _: Request) -> Response:
        told = {
            "devices": self.standing,
            "remedy": "Install it again.",
            "availability_wanted": 0.999,
        }
        return _json(told)

    async def _gaps(self, request: Request) -> Response:
        if not self.evident:
            return _json(NO_ANSWER, 503)
        asked = request.query_params
        only_open = asked.get("open") == "true"
        found = [gap for gap in self.gaps if not (only_open and gap["state"] == "REPAIRED")]
        return _json(_paged(_of_symbol(found, request), asked))

    async def _certificate(self, request: Request) -> Response:
        if not self.evident:
            return _json(NO_ANSWER, 503)
        asked = {name: request.query_params[name] for name in ("symbol", "day")}
        return _json({"certificate": self.certificate | asked, "signed": self.signed})

    async def _quarantine(self, request: Request) -> Response:
        if not self.evident:
            return _json(NO_ANSWER, 503)
        return _json(_paged(_of_symbol(self.quarantine, request), request.query_params))

    async def _doubted(self, request: Request) -> Response:
        if not self.evident:
            return _json(NO_ANSWER, 503)
        stream = request.query_params["stream"]
        found = [tick for tick in self.doubted if tick["stream"] == stream]
        return _json(_paged(found, request.query_params))

    async def _alerts(self, _: Request) -> Response:
        return _json({"items": self.alerts, "next_cursor": None})

    async def _quotes(self, _: Request) -> Response:
        return _json({"items": self.known, "limits": self.limits})

    async def _security(self, request: Request) -> Response:
        if not self.auditable:
            return _json(NO_ANSWER, 503)
        cursor = request.query_params.get("cursor")
        rest = [each for each in self.audited if cursor is None or each["id"] < cursor]
        size = int(request.query_params["limit"])
        following = rest[size - 1]["id"] if len(rest) > size else None
        return _json({"items": rest[:size], "next_cursor": following})

    async def _traces(self, request: Request) -> Response:
        if not self.traced:
            return _json(NO_ANSWER, 503)
        return _json(_paged(self.traces, request.query_params))

    async def _trace(self, _: Request) -> Response:
        return _json(self.trace)

    async def _no_ticks(self, _: Request) -> Response:
        return _json({"ticks": [], "next": None})

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        if body["password"] != "right":  # noqa: S105 - a test's password
            error = {"code": "LOGIN_REFUSED", "message": "Wrong password.", "remedy": "Try again."}
            return _json({"error": error}, 401)
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE, self.token, path="/", secure=True, httponly=True, samesite="strict"
        )
        return answer

    async def _refresh(self, request: Request) -> Response:
        self.token_is_old = False
        return Response(status_code=204 if request.cookies.get(COOKIE) else 401)

    async def _logout(self, _: Request) -> Response:
        if not self.healthy:
            return _json(NO_ANSWER, 503)
        if self.token_is_old:
            return _json(NO_ANSWER, 401)
        self.logouts += 1
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    # --- the bridge ---

    @property
    def subscribers(self) -> int:
        return len(self._sockets)

    def send(self, **message: Any) -> None:
        """Push a message to every open page."""
        data = msgspec.json.encode(message)
        self._call(lambda: [writer.write(text_frame(data)) for writer in self._sockets])

    def quote(self, symbol: str, bid: str, ask: str, **changes: Any) -> None:
        quote = {"symbol": symbol, "bid": bid, "ask": ask, "time": stamp(), "state": "LIVE"}
        self.send(type="quote", **{**quote, "provisional": False, "sequence": 1, **changes})

    def _call(self, action: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(action)

    @contextmanager
    def serve_http(self, path: Path) -> Iterator[None]:
        config = uvicorn.Config(
            self.app(),
            uds=str(path),
            log_level="error",
            loop="asyncio",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(60)

    @contextmanager
    def serve_stream(self, path: Path) -> Iterator[None]:
        ready = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._bridge(path, ready)))
        thread.start()
        assert ready.wait(60), "the stream of the backend did not start"
        try:
            yield
        finally:
            self._call(self._stop.set)
            thread.join(60)

    async def _bridge(self, path: Path, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_unix_server(self._subscribe, str(path))
        ready.set()
        await self._stop.wait()
        self._hang_up()
        server.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 2)

    async def _subscribe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A WebSocket: upgrade, then text frames until the page leaves; a ping is answered."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if "upgrade: websocket" not in head.lower() or not self.streaming:
                status = "200 OK" if "/health/" in head else "503 Service Unavailable"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
                return
            writer.write(upgrade_answer(head))
            self._sockets.add(writer)
            while await reader.read(4_096):  # a page says nothing but `ping`
                if self.answering:
                    writer.write(text_frame(PONG))
                    self.pongs += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._sockets.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Cut every open stream."""
        self._call(self._hang_up)

    def _hang_up(self) -> None:
        for writer in list(self._sockets):
            writer.transport.abort()


def upgrade_answer(head: str) -> bytes:
    key = next(
        line.partition(":")[2].strip()
        for line in head.splitlines()
        if line.lower().startswith("sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()  # noqa: S324
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: Upgrade",
        f"sec-websocket-accept: {accept}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def text_frame(data: bytes) -> bytes:
    return (
        bytes([0x81])
        + (bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big"))
        + data
    )


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _of_symbol(items: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    symbol = request.query_params.get("symbol")
    return [item for item in items if symbol in {None, item["symbol"]}]


def _paged(items: list[dict[str, Any]], asked: Mapping[str, str]) -> dict[str, Any]:
    at, size = (int(asked.get(name, 0)) for name in ("cursor", "limit"))
    following = str(at + size) if len(items) > at + size else None
    return {"items": items[at : at + size], "next_cursor": following}


def example_certificate() -> dict[str, Any]:
    """Of a day that runs; a test changes it."""
    stream = {
        "stream": "5f0c6c1e-9a55-4f5e-8f7a-0d1f5f3d8a01",
        "device": "1b7e2a90-4a6b-4c52-9a58-2f3b8f6d1c02",
        "broker": "Simulated-Demo",
        "epoch": 1,
        "state": "OPEN",
        "stored": 12_345,
        "quarantined": 0,
        "counted": 12_345,
        "digest_stored": "9f86d081884c7d65" * 4,
        "findings": [],
        "open_gaps": [],
    }
    return {
        "text": "12,345 of 12,345",
        "state": "OPEN",
        "quarantined": 0,
        "streams": [stream],
        "made_at": stamp(),
    }


def example_view() -> TerminalView:
    def part(name: str, port: int | None, rss: float, state: str = "HEALTHY") -> PartLine:
        return PartLine(name=name, state=state, port=port, pid=4000, rss_mb=rss, as_of=stamp())

    def hop(name: str, service: str, p50: float, p99: float) -> HopLine:
        return HopLine(
            name=name,
            service=service,
            kind="call",
            state="HEALTHY",
            reason="",
            count=100,
            failed=0,
            p50_ms=p50,
            p99_ms=p99,
            last_seen=stamp(),
            last_trace_id=None,
        )

    return TerminalView(
        now=stamp(),
        status="HEALTHY",
        tenant="demo",
        user="trader",
        trading=TradingLine(state="HALTED", reason=HALT_REASON),
        services=(
            part("api-gateway", 8002, 58.1),
            part("data-bridge", 8001, 61.2),
            part("database-service", 8008, 148.7),
            part("trading-engine", 8007, 47.3),
        ),
        engines=(
            part("postgres", None, 31.0),
            part("valkey", None, 9.4),
            part("nats", 4222, 18.2),
            part("envoy", 8000, 64.9),
        ),
        clients=(part("demo-client", 9001, 44.0),),
        guards=(
            GuardLine(
                service="data-bridge",
                kind="breaker",
                name="database",
                state="CLOSED",
                detail="0 failures",
            ),
            GuardLine(
                service="database-service",
                kind="bulkhead",
                name="heavy-reads",
                state="OK",
                detail="0 of 4",
            ),
        ),
        chains=(
            ChainLine(
                name="market-data",
                description="",
                state="HEALTHY",
                hops=(
                    hop("terminal-connector", "client", 0.41, 1.2),
                    hop("connector-link", "client", 0.2, 0.9),
                    hop("link-bridge", "data-bridge", 0.8, 3.1),
                    hop("bridge-spool", "data-bridge", 0.3, 1.4),
                    hop("spool-database", "data-bridge", 204.0, 231.0),
                    hop("database-clickhouse", "database-service", 11.0, 24.0),
                    hop("bridge-subscriber", "data-bridge", 0.1, 0.6),
                ),
            ),
        ),
    )


DOCUMENT = {
    "paths": {
        "/api/v1/quotes": {"get": {"summary": "The last quotes.", "x-scope": "read"}},
        "/api/v1/auth/login": {"post": {"summary": "Log in."}},
    }
}


@pytest.fixture(scope="module")
def backend() -> Backend:
    return Backend()


@pytest.fixture(scope="module")
def site(
    run_edge: Any, until: Any, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("page")
    services = {"gateway": backend.serve_http, "bridge": backend.serve_stream}
    with run_edge(folder, services, logins=RateLimit(burst=1_000, per_minute=1_000)) as edge:
        backend.token = edge.tokens.make()
        until(lambda: edge.request("/login").status == 200)
        yield edge


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser, site: Any, backend: Backend) -> Iterator[BrowserContext]:
    context = patient_context(
        browser,
        viewport={"width": 1440, "height": 900},
        base_url=address_of(site),
        reduced_motion="reduce",
    )
    backend.reset()
    yield context
    context.close()


@pytest.fixture
def terminal(context: BrowserContext, site: Any) -> Iterator[Page]:
    """The terminal of somebody who is logged in; any script error fails the test."""
    cookie = {"name": COOKIE, "value": site.tokens.make(), "secure": True, "httpOnly": True}
    context.add_cookies([{**cookie, "url": address_of(site), "sameSite": "Strict"}])
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Policy" in line.text else None)
    page.goto("/")
    yield page
    assert problems == []


def address_of(site: Any) -> str:
    return f"https://localhost:{site.config.port}"
