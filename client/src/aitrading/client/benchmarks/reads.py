"""What remembering and asking ahead saves: one page that asks for five symbols four times a second.

Three runs over the same twin, in which each read of bars takes 5 ms longer: nothing remembered (the
floor), remembered, remembered and asked ahead.
"""

from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Final

from aitrading.client.metatrader_connector.symbol_list import minutes
from aitrading.client.terminal.calls import Asks, call
from aitrading.client.terminal.reads import RememberedReads
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.market.instruments import CATALOGUE
from aitrading.client.testing.desk import open_desk
from aitrading.core.kit.clock import NS_PER_MS, Clock

SYMBOLS: Final = tuple(one.name for one in CATALOGUE[:5])
ROUNDS: Final = 40
PAUSE_S: Final = 0.25
READ_S: Final = 0.005


async def measure_reads(clock: Clock, rounds: int = ROUNDS) -> dict[str, float]:
    """The part answered from memory, the longest waits, and the calls that reached the terminal."""
    twin = SimulatedTerminal(clock, ticks_per_s=0.5, instruments=CATALOGUE[:5])
    figures: dict[str, float] = {}
    with TemporaryDirectory(prefix="reads-") as folder:
        async with open_desk(Path(folder), twin) as desk:
            desk.inject(
                kind="slow_call", call="copy_rates_from_pos", probability=1.0, duration_s=READ_S
            )
            remembered = RememberedReads(desk.pool, clock)
            ahead = RememberedReads(desk.pool, clock)
            await ahead.start()
            for name, reads in (
                ("floor", desk.pool),
                ("remembered", remembered),
                ("ahead", ahead),
            ):
                before = twin.world.faults.calls
                waits = await _show(reads, clock, rounds)
                calls = twin.world.faults.calls - before
                figures |= {
                    f"reads.{name}_p95_ms": round(quantiles(waits, n=20)[-1], 2),
                    f"reads.{name}_calls": float(calls),
                }
            figures |= {
                "reads.hit_rate": round(ahead.counts.rate or 0, 3),
                "reads.hit_rate_without_ahead": round(remembered.counts.rate or 0, 3),
            }
            await ahead.stop()
    return figures


async def _show(reads: Asks, clock: Clock, rounds: int) -> list[float]:
    waits: list[float] = []
    for _ in range(rounds):
        began_ns = clock.monotonic_ns()
        await reads.ask(*(call("symbol_info", symbol) for symbol in SYMBOLS))
        await reads.ask(*map(minutes, SYMBOLS))
        waits.append((clock.monotonic_ns() - began_ns) / NS_PER_MS)
        await clock.sleep(PAUSE_S)
    return waits
