"""A client as anybody runs it, whose simulated terminal is closed while a file exists.

`wavering_client.py HOME FILE` prints the port of its health endpoint.
"""

import asyncio
import signal
import sys
from pathlib import Path
from unittest.mock import patch

from typing_extensions import override

from aitrading.client import service
from aitrading.client.service import Surroundings, load_config, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.core.kit.clock import Clock


class ClosableTerminal(SimulatedTerminal):
    """Cannot be reached while the file exists, like a terminal whose window was closed."""

    def __init__(self, clock: Clock, flag: Path) -> None:
        super().__init__(clock)
        self._flag = flag

    @property
    @override
    def is_running(self) -> bool:
        return not self._flag.exists()


async def main(home: Path, flag: Path) -> None:
    def closable(_: TerminalKind, __: SimulatedTerminalSettings, clock: Clock) -> ClosableTerminal:
        return ClosableTerminal(clock, flag)

    config = load_config(home, {"AITRADING_CONNECTOR_PROBE_PORT": "0"})
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    with patch.object(service, "open_terminal", closable):
        around = Surroundings.of_machine()
        async with running_client(home, TerminalKind.SIM, config, around) as client:
            sys.stdout.write(f"{client.probes.port}\n")
            sys.stdout.flush()
            await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
