"""A complete tiny service, run as a real process by the tests of the runner."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from aitrading.core.infrastructure.central_hub import CentralHub
from aitrading.core.infrastructure.config_manager import ConfigManager, Setting
from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import PUBLIC, endpoint, peers
from aitrading.server.kit.service_runner import ServiceSpec, run_service


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """The probe service."""

    SECTION: ClassVar[str] = "probe"

    greeting: Annotated[str, Setting(doc="What it says.", reloadable=True)] = "hello"
    size: Annotated[int, Setting(doc="How large.", unit="MB", minimum=1, maximum=9)] = 1
    start: Annotated[
        str, Setting(doc="How it starts.", choices=("works", "hangs", "fails", "slow"))
    ] = "works"


class Greeting(msgspec.Struct):
    greeting: str
    peers: list[str]


class Diary:
    """Notes each step in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")


class Worker:
    def __init__(self, settings: ProbeSettings, diary: Diary) -> None:
        self.name = "worker"
        self.depends_on = ("central-hub",)
        self.state = ComponentState.NEW
        self._settings = settings
        self._diary = diary

    async def start(self) -> None:
        self.state = ComponentState.STARTING
        self._diary.note("worker starts")
        if self._settings.start == "hangs":
            await asyncio.Event().wait()
        if self._settings.start == "fails":
            raise LookupError("there is no such thing")
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        self._diary.note("worker stops")
        self.state = ComponentState.STOPPED


class Desk:
    def __init__(self, config: ConfigManager, hub: CentralHub, diary: Diary) -> None:
        self._config = config
        self._hub = hub
        self._diary = diary

    @endpoint("GET", "/api/v1/greeting", access=PUBLIC, summary="Greets.", answer=Greeting)
    async def greet(self, _call: Call) -> Greeting:
        services = [record.name for record in self._hub.services()]
        return Greeting(self._config.get(ProbeSettings).greeting, services)

    @endpoint("GET", "/api/v1/slow", access=PUBLIC, summary="Takes its time.")
    async def slow(self, _call: Call) -> None:
        self._diary.note("request begins")
        await asyncio.sleep(0.5)
        self._diary.note("request ends")

    @endpoint("GET", "/api/v1/broken", access=PUBLIC, summary="Has a defect.")
    async def broken(self, _call: Call) -> None:
        raise LookupError("nobody foresaw this")

    @endpoint("GET", "/internal/v1/greeting", access=peers("friend"), summary="Greets a friend.")
    async def greet_friend(self, call: Call) -> Greeting:
        assert call.caller is not None
        return Greeting("hello friend", [call.caller.name])


async def open_diary(bundle: ServiceBundle) -> AsyncIterator[Diary]:
    diary = Diary(bundle.home / "diary")
    diary.note(f"opened by {os.getpid()}")
    yield diary
    diary.note("closed")


def providers(manager: ImportManager) -> None:
    manager.provide(open_diary, provides=Diary)
    manager.provide(Worker)
    manager.provide(Desk)


SPEC = ServiceSpec(
    name=sys.argv[1] if len(sys.argv) > 1 else "probe",
    depends_on=("nats",),
    sections=(ProbeSettings,),
    providers=providers,
    components=(Worker,),
    endpoints=(Desk,),
    merges_chains=True,
)

if __name__ == "__main__":
    run_service(SPEC)
