"""What the ingest believes about a stream stays true when the spool refuses."""

import errno
import os
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from aitrading.core.domain.market import TICK_DTYPE, make_batch
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import ALL_CHAINS
from aitrading.core.infrastructure.files import sync_data
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.protocol.ingest import decode_record
from aitrading.core.protocol.link.events import TicksReceived
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.shares import Shares, SpoolShares
from aitrading.server.data_bridge.streams import BridgeStream
from aitrading.server.kit.limit_levels import LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings

CLOCK = ManualClock()
LIMITS = LimitSettings()
IDS = SystemIdFactory(CLOCK, SeededRandomness(1))


class Disk:
    """A disk that can be told to refuse."""

    refuses = False

    def sync(self, descriptor: int) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync_data(descriptor)


def stream_of(identity: DeviceIdentity) -> BridgeStream:
    said = StreamDeclaration(handle=1, broker="B", login=1, symbol="S", epoch=1, digits=5)
    return BridgeStream(UUID(int=7), identity, said)


def ticks(first: int, count: int) -> TicksReceived:
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"], rows["bid"], rows["ask"] = CLOCK.now_ns() // NS_PER_MS, 108_000, 108_007
    batch = make_batch(UUID(int=7), first, rows, receive_ns=CLOCK.now_ns(), broker_offset_s=0)
    return TicksReceived(1, batch, 0)


KEYS = some_file_keys()


async def open_spool(folder: Path, limits: SpoolLimits, disk: Disk) -> Spool:
    return await Spool.open(folder, limits=limits, clock=CLOCK, ids=IDS, keys=KEYS, sync=disk.sync)


def make_shares(spool: Spool, metrics: Metrics) -> SpoolShares:
    return SpoolShares(spool, Shares(LimitLevels(lambda: LIMITS), metrics), metrics)


def make_ingest(spool: Spool, shares: SpoolShares | None = None) -> TickIngest:
    chains = ChainRegistry(clock=CLOCK, service="test", instance="1")
    chains.define(*ALL_CHAINS)
    metrics = Metrics()
    shares = shares or make_shares(spool, metrics)
    return TickIngest(spool, shares, clock=CLOCK, ids=IDS, metrics=metrics, chains=chains)


@async_test
async def test_a_backlog_does_not_forget_what_is_on_its_way_to_the_disk(
    tmp_path: Path, identity: DeviceIdentity
) -> None:
    limits = SpoolLimits(pending_bytes=3_000)
    async with await open_spool(tmp_path, limits, Disk()) as spool:
        ingest, stream = make_ingest(spool), stream_of(identity)
        ingest.take(stream, ticks(1, 50))
        ingest.commit()
        ingest.take(stream, ticks(51, 100))
        ingest.commit()
        assert (stream.durable, stream.received) == (0, 50)
        await eventually(lambda: stream.durable == 50)
        assert stream.received == 50


@async_test
async def test_nothing_is_stored_behind_what_the_disk_refused(
    tmp_path: Path, identity: DeviceIdentity
) -> None:
    disk = Disk()
    async with await open_spool(tmp_path, SpoolLimits(), disk) as spool:
        ingest, stream = make_ingest(spool), stream_of(identity)
        failures: list[str] = []
        ingest.on_failure = lambda error, _streams: failures.append(error.code)
        ingest.take(stream, ticks(1, 10))
        ingest.commit()
        await eventually(lambda: stream.durable == 10)
        disk.refuses = True
        ingest.take(stream, ticks(11, 10))
        ingest.commit()
        ingest.take(stream, ticks(21, 10))
        await eventually(lambda: failures)
        disk.refuses = False
        ingest.commit()
        assert (stream.durable, stream.received) == (10, 10)
        ingest.take(stream, ticks(11, 20))
        ingest.commit()
        await eventually(lambda: stream.durable == 30)
        stored = [decode_record(one.payload).header for one in await spool.read(1)]
        assert [(one.first_sequence, one.last_sequence) for one in stored] == [(1, 10), (11, 30)]
        assert failures == ["SPOOL_DISK_FULL"]


@pytest.mark.parametrize("count", [1, 100])
@async_test
async def test_a_batch_is_stored_as_it_came(
    tmp_path: Path, identity: DeviceIdentity, count: int
) -> None:
    async with await open_spool(tmp_path, SpoolLimits(), Disk()) as spool:
        ingest, stream = make_ingest(spool), stream_of(identity)
        event = ticks(1, count)
        ingest.take(stream, event)
        ingest.commit()
        await eventually(lambda: stream.durable == count)
        record = decode_record((await spool.read(1))[0].payload)
        assert bytes(record.rows) == event.batch.rows
        assert record.header.tenant == identity.tenant


@async_test
async def test_a_share_counts_what_is_in_the_spool_and_nothing_that_was_lost_or_left(
    tmp_path: Path, identity: DeviceIdentity
) -> None:
    disk = Disk()
    async with await open_spool(tmp_path, SpoolLimits(), disk) as spool:
        shares = make_shares(spool, Metrics())
        ingest, stream = make_ingest(spool, shares), stream_of(identity)
        ingest.take(stream, ticks(1, 100))
        ingest.commit()
        on_its_way = shares.held_by(identity.tenant)
        await eventually(lambda: stream.durable == 100)
        assert shares.held_by(identity.tenant) == on_its_way > 0
        disk.refuses = True
        ingest.take(stream, ticks(101, 100))
        ingest.commit()
        assert shares.held_by(identity.tenant) == 2 * on_its_way
        await eventually(lambda: stream.received == 100, what="the loss")
        assert shares.held_by(identity.tenant) == on_its_way
        disk.refuses = False
        await spool.seal()
        await spool.delete_through(spool.durable_position)
        assert shares.held_by(identity.tenant) == 0
