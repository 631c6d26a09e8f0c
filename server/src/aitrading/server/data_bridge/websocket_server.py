"""The WebSocket listener behind the edge: `/link` for devices, `/api/v1/stream` for people."""

import asyncio
from pathlib import Path

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.link.frames import FRAME_BYTES_MAX
from aitrading.core.protocol.tracecontext import TRACEPARENT, TraceContext
from aitrading.server.data_bridge.fanout import STREAM_PATH, FanOut
from aitrading.server.data_bridge.links import LINK_PATH, DeviceLinks
from aitrading.server.data_bridge.unix_websocket import refuse, serve_unix
from aitrading.server.kit.http_errors import NOT_FOUND


class WebSocketServer:
    """Starts last and stops first: a connection finds everything behind it running."""

    depends_on: tuple[str, ...] = (
        "device-links", "fan-out", "tick-flow", "spool-guard", "segment-handover",
    )  # fmt: skip

    def __init__(self, path: Path, links: DeviceLinks, fan_out: FanOut, ids: IdFactory) -> None:
        self.name = "websocket-server"
        self._path = path
        self._links = links
        self._fan_out = fan_out
        self._ids = ids
        self._server: asyncio.AbstractServer | None = None
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._state

    async def start(self) -> None:
        """Listen on the socket that the bundle names."""
        self._server = await serve_unix(self._path, self._route, frame_bytes_max=FRAME_BYTES_MAX)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Take no more connections; those that are open are ended by their owners."""
        self._state = ComponentState.STOPPING
        if self._server is not None:
            self._server.close()
        self._state = ComponentState.STOPPED

    def _route(
        self, request: WSUpgradeRequest
    ) -> WSListener | WSUpgradeResponseWithListener | None:
        match request.path.partition(b"?")[0]:
            case path if path == LINK_PATH.encode():
                return self._links.upgrade(request)
            case path if path == STREAM_PATH.encode():
                return self._fan_out.upgrade(request)
            case _:
                trace = TraceContext.parse(request.headers.get(TRACEPARENT))
                error = NOT_FOUND.error(path=request.path.decode("latin-1").partition("?")[0])
                return refuse(error, request, self._ids, trace or TraceContext.start(self._ids))
