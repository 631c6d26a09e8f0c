"""The floor of `bench ticks`: one process that does no more than has to be done.

`python -m …ticks_floor PORT CERTIFICATE KEY FOLDER`. It takes ingest records over TLS, appends them
to a file with one `fdatasync` for all that came meanwhile, inserts them in bulk into ClickHouse, and
answers the text `end` with how many rows are stored. Nobody is asked who they are, nothing is
checked, sealed, handed over or told to anybody.
"""

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Final

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

from aitrading.core.protocol.ingest import decode_record
from aitrading.server.database_service.clickhouse.embedded import EmbeddedClickHouse, EngineLimits
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.database_service.ticks.blocks import TICKS_INTO, Piece, tick_block

END: Final = b"end"
INSERT_ROWS: Final = 100_000


class Floor:
    """A file, a table, and what is on its way from one to the other."""

    def __init__(self, clickhouse: EmbeddedClickHouse, path: Path) -> None:
        self._clickhouse = clickhouse
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._came: list[bytes] = []
        self._wake = asyncio.Event()
        self._asked: WSTransport | None = None
        self._inserts = 0

    def take(self, record: bytes) -> None:
        """A record came."""
        self._came.append(record)
        self._wake.set()

    def end(self, transport: WSTransport) -> None:
        """Nothing more will come; whoever sent it wants to know how much is stored."""
        self._asked = transport
        self._wake.set()

    async def work(self) -> None:
        """Make durable and insert, as much at once as there is."""
        stored, waiting, rows = 0, list[Piece](), 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            came, self._came = self._came, []
            if came:
                await asyncio.to_thread(self._make_durable, came)
                pieces = [_piece(record) for record in came]
                waiting += pieces
                rows += sum(piece.count for piece in pieces)
            is_last = self._asked is not None and not self._came
            if rows >= INSERT_ROWS or (is_last and rows):
                await self._insert(waiting)
                stored += rows
                waiting, rows = [], 0
            if is_last and self._asked is not None:
                self._asked.send(WSMsgType.TEXT, str(stored).encode())

    def _make_durable(self, records: list[bytes]) -> None:
        os.writev(self._file, [b"".join(records)])
        os.fdatasync(self._file)

    async def _insert(self, pieces: list[Piece]) -> None:
        self._inserts += 1
        block = await asyncio.to_thread(tick_block, pieces)
        await self._clickhouse.insert(TICKS_INTO, block, label=f"floor:{self._inserts}")


class _Listener(WSListener):
    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._floor.end(transport)
        else:
            self._floor.take(frame.get_payload_as_bytes())


def _piece(data: bytes) -> Piece:
    record = decode_record(data)
    first = record.header.first_sequence
    return Piece(record=record, first=first, last=first + record.header.count - 1)


async def serve(port: int, certificate: str, key: str, folder: Path) -> None:
    """Serve until the process ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    clickhouse = EmbeddedClickHouse(folder / "clickhouse", limits=EngineLimits())
    await clickhouse.start()
    await ClickHouseSchema(clickhouse, migrations("clickhouse")).apply()
    floor = Floor(clickhouse, folder / "floor.spool")

    def listener(_request: WSUpgradeRequest) -> WSListener:
        return _Listener(floor)

    server = await ws_create_server(listener, "127.0.0.1", port, ssl=context)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    async with asyncio.TaskGroup() as group:
        group.create_task(floor.work())
        group.create_task(server.serve_forever())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        place = Path(sys.argv[4])
        runner.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], place))
