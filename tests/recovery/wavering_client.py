"""A client as anybody runs it, whose terminal, a twin of this process, is closed while a file exists.

`wavering_client.py HOME FILE` prints the port of its health endpoint.
"""

import asyncio
import signal
import sys
import threading
from pathlib import Path

from typing_extensions import override

from aitrading.client.service import Surroundings, load_config, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.process.server import TwinServer
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
    address = home / "twin.json"
    around = Surroundings.of_machine()
    twin = TwinServer(ClosableTerminal(around.clock, flag), address)
    threading.Thread(target=twin.serve, daemon=True).start()
    settings = {
        "AITRADING_CONNECTOR_PROBE_PORT": "0",
        "AITRADING_TERMINAL_SIM_PROCESS": str(address),
    }
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    config = load_config(home, settings)
    async with running_client(home, TerminalKind.SIM, config, around) as client:
        sys.stdout.write(f"{client.probes.port}\n")
        sys.stdout.flush()
        await ended.wait()
    twin.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
