"""Toy services and a platform made of them: real processes, small enough to start in no time."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.engines.http_probe import HttpTarget, http_status
from aitrading.server.engines.process import Launch
from aitrading.server.supervisor.assembly import Assembly, Choices, Kit
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.guests import Guests
from aitrading.server.supervisor.plan import ChildSpec, Kind, Plan
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.up import Platform, UpOptions

SERVICE = """
import os, socket, sys, threading
path, mode = sys.argv[1:3]
print("imported", flush=True)
if mode != "headless" and sys.stdin.buffer.readline() != b"go\\n":
    sys.exit(0)
if mode.startswith("exit"):
    print("the last words", flush=True)
    sys.exit(int(mode[4:]))
if mode == "stubborn":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
if mode == "never":
    threading.Event().wait()
if mode == "family":
    import subprocess
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"])
if mode.startswith("needs:") and os.path.exists(mode[6:]):
    os._exit(5)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    if os.path.exists(path + ".mute"):
        connection.close()
        continue
    word = b"503 No" if os.path.exists(path + ".unwell") else b"200 OK"
    connection.sendall(b"HTTP/1.1 " + word + b"\\r\\ncontent-length: 0\\r\\n\\r\\n")
    connection.close()
"""


@dataclass(frozen=True, kw_only=True)
class ToyProgram:
    """Answers on a Unix socket; `mode` says how it misbehaves."""

    socket: Path
    mode: str = "well"

    async def prepare(self) -> None:
        self.socket.unlink(missing_ok=True)

    def launch(self) -> Launch:
        return Launch(
            command=(sys.executable, "-I", "-S", "-c", SERVICE, str(self.socket), self.mode),
            environment={},
            folder=Path("/"),
            controlled=True,
            stop_timeout_s=1.0,
        )

    async def ready(self) -> bool:
        return await http_status(HttpTarget(socket=self.socket), "/") == 200

    async def alive(self) -> bool:
        return await http_status(HttpTarget(socket=self.socket), "/") is not None

    async def settle(self) -> None:
        pass


def toy(folder: Path, name: str, *depends_on: str, mode: str = "well") -> ChildSpec:
    return ChildSpec(
        name=name,
        kind=Kind.SERVICE,
        program=ToyProgram(socket=folder / f"{name}.sock", mode=mode),
        depends_on=depends_on,
        starts_early=True,
        ready_timeout_s=10.0,
    )


def toy_assembly(modes: Iterable[str]) -> Callable[[Choices, Kit, Births], Assembly]:
    """Children `a`, `b`, ... each depending on the one before it."""

    def assemble(choices: Choices, kit: Kit, births: Births) -> Assembly:
        del kit, births
        names = "abcdefgh"
        specs = [
            toy(choices.home.run, names[i], *names[max(0, i - 1) : i], mode=mode)
            for i, mode in enumerate(modes)
        ]

        async def issue_nothing() -> None:
            return

        return Assembly(
            plan=Plan(specs),
            issue_identities=issue_nothing,
            renew_identities=issue_nothing,
            fingerprint=lambda: None,
            guests=Guests(choices.home.keys / "guests.json"),
        )

    return assemble


def tell(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


def main(home: str, *modes: str) -> int:
    """Run a toy platform until it is stopped; used as a real process by the tests."""
    clock, randomness = SystemClock(), SystemRandomness()
    kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
    free = ("data_bridge", "api_gateway", "trading_engine", "database_service", "nats")
    settings = {f"ports.{name}": "0" for name in free}
    settings["gateway.port"] = "0"
    options = UpOptions(home=Path(home), settings=settings, began_ns=clock.monotonic_ns())
    platform = Platform(options, kit, LineReporter(), toy_assembly(modes))
    try:
        asyncio.run(platform.run(lambda report: tell(sys.stdout, str(report.state.ready))))
    except AitradingError as exc:
        tell(sys.stderr, str(exc))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
