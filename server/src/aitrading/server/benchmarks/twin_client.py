"""A client beside a twin, for a benchmark: `aitrading-client` as its own process, as people run it."""

import http.client
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from aitrading.core.kit.clock import NS_PER_S, Clock, SystemClock

CLIENT: Final = str(Path(sys.executable).with_name("aitrading-client"))
RUN_FILE: Final = "run.json"
STOP_TIMEOUT_S: Final = 30.0
PROBE_TIMEOUT_S: Final = 5.0
TAKEN: Final = "aitrading_client_ticks_taken_total"
PENDING: Final = "aitrading_client_ticks_pending"
FIRST_POINTS: Final = 100_000
LAST_MS: Final = 70_000_000


class _Run(msgspec.Struct):
    port: int


@dataclass(frozen=True, kw_only=True)
class TwinClient:
    """A client that runs."""

    home: Path
    clock: SystemClock = field(default_factory=SystemClock)

    def metric(self, name: str) -> float:
        """What it says of itself now; 0 before it says anything."""
        port = msgspec.json.decode((self.home / RUN_FILE).read_bytes(), type=_Run).port
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
        try:
            asking.request("GET", "/metrics")
            lines = asking.getresponse().read().decode().splitlines()
        finally:
            asking.close()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def recorded_days(folder: Path, symbols: tuple[str, ...], ticks: int, day: date) -> None:
    """A recorded day of each symbol: a random walk, evenly spread, the same each time."""
    folder.mkdir()
    for number, symbol in enumerate(symbols):
        chance = np.random.default_rng(number)
        bid = FIRST_POINTS + chance.integers(-3, 4, ticks).cumsum()
        ask = bid + chance.integers(1, 20, ticks)
        lines = [
            f"{ms},{low / 1_000:.3f},{high / 1_000:.3f}"
            for ms, low, high in zip(
                np.linspace(1_000, LAST_MS, ticks, dtype=np.int64).tolist(),
                bid.tolist(),
                ask.tolist(),
                strict=True,
            )
        ]
        name = f"{day:%Y%m%d}_{symbol.lower()}_quote.csv"
        (folder / name).write_text("\n".join(lines) + "\n", encoding="ascii")


def yesterday(clock: Clock) -> date:
    """A day that is over, so that a count of it is final."""
    return (datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC) - timedelta(days=1)).date()


def replaying(folder: Path, day: date) -> dict[str, str]:
    """Settings of a client whose terminal has the recorded days in its history."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {
        "TERMINAL_SIM_REPLAY": str(folder),
        "TERMINAL_SIM_REPLAY_STARTS_S": str(round(midnight.timestamp())),
        "CONNECTOR_BROKER_OFFSET_S": "7200",
        "CONNECTOR_BACKFILL_S": str(2 * 86_400),
    }


def enrol(home: Path, code: str, port: int) -> None:
    """Make a home of a device; the server is reached at this port."""
    command = [CLIENT, "enroll", code, f"--server=https://localhost:{port}", f"--home={home}"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command


def start_client(home: Path, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """`aitrading-client run` with a simulated terminal, as our own child."""
    named = {f"AITRADING_{name}": value for name, value in settings.items()}
    command = [CLIENT, "run", "--terminal=sim", f"--home={home}"]
    environ = {"AITRADING_CONNECTOR_PROBE_PORT": "0", **named}
    with (home / "client.log").open("ab") as log:
        return subprocess.Popen(command, env=environ, stderr=log, stdout=log)  # noqa: S603 - our own command


@contextmanager
def running_client(home: Path, settings: Mapping[str, str]) -> Generator[TwinClient]:
    """Such a client until the end of the block."""
    process = start_client(home, settings)
    try:
        yield TwinClient(home=home)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
