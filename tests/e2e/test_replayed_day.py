"""A recorded day goes through the whole platform while things are cut and killed: stored = sent.

The fewer the faults, the faster the day: flat out with a handful, 100 times as fast as it was with
43, and its busiest minutes at their own speed as a campaign of its own.

With AITRADING_TEST_TICKS the day is a real one of gold; without, two made-up ones. The test counts
the day for itself, from the recording, and holds the platform's certificates against that: number and
digest of every tick, its price, its time and its place in the sequence.
"""

import asyncio
import os
import random
import signal
import subprocess
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import numpy as np
import pytest

from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim.from_settings import simulated_terminal
from aitrading.core.domain.stream_days import DayTotal, days_of
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.core.testing.eventually import eventually
from aitrading.server.benchmarks.installation import (
    Installation,
    platform_state,
    running_installation,
)
from aitrading.server.benchmarks.relay import Relay, relay_to
from aitrading.server.benchmarks.twin_client import enrol, recorded_days, start_client

QUICK_FAULTS: Final = 4
A_FEW: Final = 10
SHORT_S: Final = 4
LONG_S: Final = 20
"""From a fault to the next; a service that dies more often than that is restarted ever later."""
DAY_S: Final = 86_400
MADE_UP: Final = ("EURUSD", "XAUUSD")
MADE_UP_TICKS: Final = 20_000
REAL: Final = "oanda_xauusd_20140502_quote.zip"
MINUTE_MS: Final = 60_000
SETTINGS: Final = {"gateway.requests_burst": "100000"}
SERVICES: Final = ("data-bridge", "database-service")
FAULTS: Final = ("wire", "client", *SERVICES)
CLOCK: Final = SystemClock()


@dataclass
class Episode:
    """The platform, the wire and the client that things happen to."""

    installation: Installation
    relay: Relay
    home: Path
    environ: dict[str, str]
    tally: dict[str, int] = field(default_factory=dict)
    client: "subprocess.Popen[bytes] | None" = None

    def start_client(self) -> None:
        self.client = start_client(self.home, self.environ)

    def end_client(self, number: int) -> None:
        if self.client is not None:
            self.client.send_signal(number)
            self.client.wait(30)
            self.client = None

    async def suffer(self, fault: str) -> None:
        self.tally[fault] = self.tally.get(fault, 0) + 1
        if fault == "wire":
            self.relay.cut()
        elif fault == "client":
            await asyncio.to_thread(self.end_client, signal.SIGKILL)
            self.start_client()
        else:
            await eventually(lambda: self._kill(fault), timeout_s=30, what=f"a running {fault}")

    def _kill(self, service: str) -> bool:
        pid = platform_state(self.installation.home).services[service].pid
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True


def recording(folder: Path, day: date) -> tuple[Path, tuple[str, ...]]:
    """A real day where there is one, else made-up ones."""
    given = os.environ.get("AITRADING_TEST_TICKS")
    if given and (Path(given) / REAL).exists():
        return Path(given) / REAL, ("XAUUSD",)
    recorded_days(folder, MADE_UP, MADE_UP_TICKS, day)
    return folder, MADE_UP


def counted(
    settings: SimulatedTerminalSettings, symbol: str, offset_s: int
) -> dict[int, DayTotal]:
    """What a device has to have sent, counted from the recording itself."""
    terminal = simulated_terminal(settings, CLOCK)
    terminal.initialize()
    terminal.symbol_select(symbol, True)
    info = terminal.symbol_info(symbol)
    ticks = terminal.copy_ticks_from(symbol, 0, 10_000_000, COPY_TICKS_ALL)
    assert info is not None
    assert ticks is not None
    return days_of(1, to_rows(ticks, info.digits).rows, offset_s)


def newest(installation: Installation) -> dict[str, int]:
    """The newest sequence of each symbol that the bridge knows."""
    page: Any = installation.get("/api/v1/quotes", dict)
    return {quote["symbol"]: quote["sequence"] for quote in page["items"]}


def settled(
    installation: Installation, symbol: str, expected: dict[int, DayTotal]
) -> list[dict[str, Any]] | None:
    """The certificates of all days, when each says exactly what was counted here."""
    found: list[dict[str, Any]] = []
    for number, total in expected.items():
        day = date(1970, 1, 1) + timedelta(days=number)
        path = f"/api/v1/feeds/certificate?symbol={symbol}&day={day}"
        answer: Any = installation.get(path, dict)
        if answer is None or answer["certificate"]["counted"] != total.ticks:
            return None
        certificate = answer["certificate"]
        [stream] = certificate["streams"]
        digests = stream["digest_counted"], stream["digest_stored"]
        if (certificate["stored"], *digests) != (total.ticks, total.digest, total.digest):
            return None
        found.append(certificate)
    return found


@pytest.mark.e2e
@pytest.mark.timeout(480 + 2 * LONG_S * points(QUICK_FAULTS))
@async_test
async def test_a_replayed_day_is_stored_bit_for_bit_whatever_is_cut_and_killed(
    tmp_path: Path,
) -> None:
    faults = points(QUICK_FAULTS)
    place, symbols = recording(tmp_path / "days", date(2026, 1, 5))
    every_s = SHORT_S if faults <= A_FEW else LONG_S
    speed = DAY_S / (every_s * (faults + 1))
    await replayed(tmp_path, place, symbols, faults=faults, every_s=every_s, speed=speed)


@pytest.mark.e2e
@pytest.mark.timeout(360 + 4 * 60 * points(0))
@pytest.mark.skipif(
    points(0) == 0, reason="lasts as long as it lasted: make prove ONLY=replayed-minutes"
)
@async_test
async def test_the_busiest_minutes_of_a_day_are_stored_at_their_own_speed(tmp_path: Path) -> None:
    minutes = points(0)
    day, _ = recording(tmp_path / "days", date(2026, 1, 5))
    place = busiest(day, minutes, tmp_path / "minutes")
    faults = minutes * 60 // LONG_S
    await replayed(tmp_path, place, ("XAUUSD",), faults=faults, every_s=LONG_S, speed=1)


def busiest(day: Path, minutes: int, folder: Path) -> Path:
    """The minutes with the most ticks as a recording of their own that begins with its day."""
    ticks = [line.split(b",", 1) for line in lines_of(day)]
    times = np.array([float(time) for time, _ in ticks])
    begins = np.arange(0, times[-1], MINUTE_MS)
    first, last = np.searchsorted(times, [begins, begins + minutes * MINUTE_MS])
    most = int(np.argmax(last - first))
    folder.mkdir()
    place = folder / "20260105_xauusd_quote.csv"
    kept = ticks[first[most] : last[most]]
    place.write_bytes(
        b"".join(b"%.4f,%s\n" % (float(time) - begins[most], prices) for time, prices in kept)
    )
    return place


def lines_of(day: Path) -> list[bytes]:
    """What is in a recording, packed or not, or in the one of gold among several."""
    if day.is_dir():
        (day,) = day.glob("*_xauusd_*.csv")
    if day.suffix != ".zip":
        return day.read_bytes().splitlines()
    with ZipFile(day) as archive:
        return archive.read(archive.namelist()[0]).splitlines()


async def replayed(
    folder: Path,
    place: Path,
    symbols: tuple[str, ...],
    *,
    faults: int,
    every_s: int,
    speed: float,
) -> None:
    """Replay, hurt, and hold what is stored against the recording."""
    walk = random.Random(first_seed())  # noqa: S311 - replayable
    with running_installation(SETTINGS) as installation:
        async with relay_to(installation.port) as relay:
            code = await asyncio.to_thread(installation.invitation, "replay")
            await asyncio.to_thread(enrol, folder / "client", code, relay.port)
            settings = SimulatedTerminalSettings(
                replay=place, replay_starts_s=CLOCK.now_ns() // NS_PER_S, speed=speed
            )
            environ = {
                "TERMINAL_SIM_REPLAY": str(place),
                "TERMINAL_SIM_REPLAY_STARTS_S": str(settings.replay_starts_s),
                "TERMINAL_SIM_SPEED": repr(settings.speed),
                "CONNECTOR_BACKFILL_S": "3600",
                "CONNECTOR_BROKER_OFFSET_S": str(broker_offset_s(settings.replay_starts_s or 0)),
            }
            episode = Episode(installation, relay, folder / "client", environ)
            episode.start_client()
            try:
                ends_ns = ((settings.replay_starts_s or 0) + every_s * (faults + 2)) * NS_PER_S
                await happen(episode, walk, faults, every_s, ends_ns)
                await eventually(lambda: CLOCK.now_ns() > ends_ns, timeout_s=600)
                certificates = await proved(episode, settings, symbols)
            finally:
                await asyncio.to_thread(episode.end_client, signal.SIGTERM)
    print(*(f"{one['symbol']} {one['day']}: {one['text']}" for one in certificates))  # noqa: T201 - evidence
    stored = sum(one["stored"] for one in certificates)
    report({"faults": faults, "ticks": stored, **episode.tally})


async def happen(
    episode: Episode, walk: random.Random, faults: int, every_s: int, ends_ns: int
) -> None:
    """A fault every few seconds, each after ticks have come since the one before."""
    seen: dict[str, int] = {}
    for number in range(faults):
        before = dict(seen)

        def moved(before: dict[str, int] = before) -> bool:
            seen.update(newest(episode.installation))
            return seen != before or CLOCK.now_ns() > ends_ns

        await eventually(lambda: asyncio.to_thread(moved), timeout_s=60, what="new ticks")
        await asyncio.sleep(walk.uniform(every_s / 2, every_s))
        await episode.suffer(FAULTS[number] if number < len(FAULTS) else walk.choice(FAULTS))


async def proved(
    episode: Episode, settings: SimulatedTerminalSettings, symbols: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Certificates that say what the recording says."""
    offset_s = broker_offset_s(settings.replay_starts_s or 0)
    found: list[dict[str, Any]] = []
    for symbol in symbols:
        expected = counted(settings, symbol, offset_s)
        found += await eventually(
            lambda symbol=symbol, expected=expected: asyncio.to_thread(
                settled, episode.installation, symbol, expected
            ),
            timeout_s=90,
            what=f"certificates of {symbol} that equal the recording",
        )
    return found
