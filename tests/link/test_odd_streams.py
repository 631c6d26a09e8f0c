"""Streams that do not go on as they began: ahead, refused, with a hole, of two tenants."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home
from tests.link.test_kills import config, stored_total, surroundings
from typing_extensions import override

from aitrading.client.metatrader_connector import uplink
from aitrading.client.metatrader_connector.uplink import again_after_s
from aitrading.client.service import running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.kit.ingest_api import StreamMark, StreamOpening
from aitrading.server.testing.bridge import running_bridge
from aitrading.server.testing.bridge_twins import FolderTickStore
from aitrading.server.testing.services import ServiceWorld

pytestmark = pytest.mark.timeout(400)
REFUSED = ErrorSpec(
    code="STREAM_NOT_WANTED", category=Category.DENIED, message="no", why="", remedy="",
    http_status=403,
)  # fmt: skip
FAR_AHEAD = 1 << 40


class AheadStore(FolderTickStore):
    """Claims to have far more of every stream's first epoch than any client ever sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first_epochs: dict[str, int] = {}

    @override
    async def open_streams(
        self, device: DeviceIdentity, streams: tuple[StreamOpening, ...]
    ) -> tuple[StreamMark, ...]:
        marks = await super().open_streams(device, streams)
        return tuple(
            StreamMark(stream=mark.stream, last_sequence=FAR_AHEAD, missing=0)
            if self.first_epochs.setdefault(opening.symbol, opening.epoch) == opening.epoch
            else mark
            for opening, mark in zip(streams, marks, strict=True)
        )


class ChoosyStore(FolderTickStore):
    """Does not want gold, for a while."""

    wants_gold = False

    @override
    async def open_streams(
        self, device: DeviceIdentity, streams: tuple[StreamOpening, ...]
    ) -> tuple[StreamMark, ...]:
        if not self.wants_gold and any(opening.symbol == "XAUUSD" for opening in streams):
            raise REFUSED.error()
        return await super().open_streams(device, streams)


def gaps(home: Path) -> list[dict[str, object]]:
    found = list(home.glob("journal/*/gaps.jsonl"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


@async_test
async def test_a_server_that_is_ahead_gets_a_later_epoch(world: ServiceWorld) -> None:
    store = AheadStore(world.home / "stored")
    async with (
        running_bridge(world, store=store) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with running_client(home, TerminalKind.SIM, config(home), surroundings()) as client:
            await eventually(lambda: stored_total(store) > 1_000 and len(store.rows()) == 4)
            assert all(min(rows) == 1 for rows in store.rows().values())
            fed = [stream for stream in client.journal.streams if stream.active]
            assert len(fed) == 4
            for stream in fed:
                assert stream.key.epoch > store.first_epochs[stream.key.symbol]
            await eventually(lambda: len(client.journal.streams) == 4, what="old epochs forgotten")


@async_test
async def test_a_refused_stream_costs_itself_is_written_down_and_offered_again(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "AGAIN_FIRST_S", 0.5)
    store = ChoosyStore(world.home / "stored")
    async with (
        running_bridge(world, store=store) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with running_client(home, TerminalKind.SIM, config(home), surroundings()) as client:
            await eventually(lambda: stored_total(store) > 1_000 and len(store.rows()) == 3)
            assert client.uplink.refused == {"XAUUSD": "STREAM_NOT_WANTED"}
            assert client.uplink.state is ComponentState.DEGRADED
            await eventually(lambda: client.uplink.pending_ticks < 500)
            store.wants_gold = True
            await eventually(lambda: len(store.rows()) == 4, what="gold")
            assert client.uplink.refused == {}
            assert client.uplink.state is ComponentState.HEALTHY
        lost = gaps(home)
        assert {one["symbol"] for one in lost} <= {"XAUUSD"}


def test_a_symbol_that_is_refused_again_and_again_is_offered_ever_later() -> None:
    assert [again_after_s(number) for number in (1, 2, 3, 8, 999)] == [5, 10, 20, 600, 600]


@async_test
async def test_a_hole_on_the_clients_disk_is_declared_and_the_rest_arrives(
    world: ServiceWorld,
) -> None:
    async with running_bridge(world) as bridge:
        home = world.home / "client"
        record = enrolled_home(home, world.authority, 1)
        bridge.devices.add(record.identity)
        small = config(
            home, **{"client_spool.segment_mb": "1", "terminal_sim.ticks_per_s": "20000"}
        )
        async with running_client(home, TerminalKind.SIM, small, surroundings()) as client:
            await eventually(lambda: len(client.journal.spool.sealed()) >= 3, timeout_s=60)
            damaged = client.journal.spool.sealed()[1].path
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 0xFF
        damaged.write_bytes(data)
        async with Edge(world.authority, bridge.socket, world.home) as edge:
            enrolled_home(home, world.authority, edge.port)
            async with running_client(
                home, TerminalKind.SIM, config(home), surroundings()
            ) as client:
                await eventually(lambda: client.uplink.pending_ticks < 2_000, timeout_s=60)
                assert client.uplink.state is ComponentState.HEALTHY
            lost = gaps(home)
            assert lost
            missing = {
                (UUID(str(one["stream"])), sequence)
                for one in lost
                if one["first_missing"]  # 0 is of ticks that never had a sequence
                for sequence in range(
                    int(str(one["first_missing"])), int(str(one["last_missing"])) + 1
                )
            }
            await eventually(lambda: is_whole(bridge.store, missing), timeout_s=60)


def is_whole(store: FolderTickStore, missing: set[tuple[UUID, int]]) -> bool:
    """Every sequence is stored or written down as missing, never both."""
    for stream, rows in store.rows().items():
        absent = {sequence for sequence in range(1, max(rows) + 1) if sequence not in rows}
        if absent != {sequence for one, sequence in missing if one == stream}:
            return False
    return True


@async_test
async def test_two_tenants_share_a_bridge_and_nothing_else(world: ServiceWorld) -> None:
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        homes = [world.home / name for name in ("one", "two")]
        records = [
            enrolled_home(home, world.authority, edge.port, tenant=tenant)
            for tenant, home in enumerate(homes, start=1)
        ]
        for record in records:
            bridge.devices.add(record.identity)
        async with (
            running_client(homes[0], TerminalKind.SIM, config(homes[0]), surroundings()),
            running_client(homes[1], TerminalKind.SIM, config(homes[1]), surroundings()),
        ):
            links = await bridge.get(DeviceLinks)
            await eventually(lambda: len(links) == 2)
            await eventually(lambda: len(bridge.store.rows()) == 8)
