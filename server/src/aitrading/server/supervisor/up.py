"""`aitrading up`: enter the home, check the machine, run the platform, leave it clean."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import configure_logging
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.kit.bundle import TOLD_EVERY_S
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.supervisor.admin import AdminServer, Handler
from aitrading.server.supervisor.admin_calls import AdminCalls
from aitrading.server.supervisor.assembly import Assembly, Choices, EdgePlace, Kit, assemble
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.bundles import LOOPBACK
from aitrading.server.supervisor.choices import (
    ANY_ADDRESS,
    EDGE,
    NATS,
    load_configuration,
    port_requests,
)
from aitrading.server.supervisor.guests import Guests
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.leftovers import end_leftovers
from aitrading.server.supervisor.logs import LogStream, RotatingLog
from aitrading.server.supervisor.nursery_process import NurseryProcess
from aitrading.server.supervisor.overall_health import OverallHealth
from aitrading.server.supervisor.ports import resolve_ports
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.scheduled_backups import ScheduledBackups, require_possible
from aitrading.server.supervisor.settings import BackupSettings, PlatformSettings
from aitrading.server.supervisor.state import ReadyReport
from aitrading.server.supervisor.stores import given_servers
from aitrading.server.supervisor.supervisor import Facts, Supervisor

_log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What was asked for on the command line."""

    home: Path
    demo: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    began_ns: int = 0
    """Monotonic time at which the command began."""


class Platform:
    """One `up` from the lock to the last process; `run` returns when all of it is over."""

    def __init__(
        self,
        options: UpOptions,
        kit: Kit,
        reporter: LineReporter,
        assembler: Callable[[Choices, Kit, Births], Assembly] = assemble,
        nursery: NurseryProcess | None = None,
    ) -> None:
        self._nursery = nursery
        self._assembler = assembler
        self._options = options
        self._kit = kit
        self._reporter = reporter
        self._home = Home(options.home)

    async def run(self, on_ready: Callable[[ReadyReport], None]) -> None:
        """Raises the reason, as an AitradingError, when the platform cannot start."""
        home = self._home
        home.create()
        with ExitStack() as stack:
            stack.enter_context(home.lock(self._kit.clock))
            choices = await self._enter(home)
            stack.callback(home.remove_run)
            stack.enter_context(self._logging(home))
            births = Births(self._nursery if choices.nursery else None)
            stack.callback(births.close)
            await self._run(self._assembler(choices, self._kit, births), choices, births, on_ready)

    async def _enter(self, home: Home) -> Choices:
        """Everything that can be refused is refused here, before the first process starts."""
        for name in await end_leftovers(home.children_file, self._kit.clock):
            self._reporter.say(
                f"  {name} was left by a supervisor that was killed; it is gone now"
            )
        home.check_space()
        home.check_clock(self._kit.clock)
        config = load_configuration(home, os.environ, self._options.settings)
        ports = resolve_ports(port_requests(config, demo=self._options.demo))
        platform, gateway = config.get(PlatformSettings), config.get(GatewaySettings)
        edge = EdgePlace(
            host=LOOPBACK if gateway.address == ANY_ADDRESS else gateway.address,
            port=ports[EDGE],
            name=gateway.hosts[0],
            workers=platform.envoy_workers,
        )
        servers = given_servers(os.environ)
        require_possible(config.get(BackupSettings), servers)
        home.prepare()
        return Choices(
            home=home,
            environment=platform.environment,
            demo=self._options.demo,
            nursery=platform.nursery,
            ports=ports,
            edge=edge,
            settings={**self._options.settings, "gateway.port": str(edge.port)},
            servers=servers,
            backup=config.get(BackupSettings),
            stores=config.get(StoreSettings),
        )

    async def _run(
        self,
        assembly: Assembly,
        choices: Choices,
        births: Births,
        on_ready: Callable[[ReadyReport], None],
    ) -> None:
        backups = ScheduledBackups(choices.home, choices.backup, births, self._kit.clock)
        supervisor = Supervisor(
            assembly.plan,
            self._facts(choices),
            clock=self._kit.clock,
            randomness=self._kit.randomness,
            births=births,
            reporter=self._reporter,
            fingerprint=assembly.fingerprint,
            renew=assembly.renew_identities,
        )
        calls = AdminCalls(choices.home, self._kit)
        health = OverallHealth(supervisor.state, assembly.plan.specs, calls.handle)
        admin = AdminServer(
            choices.home.admin_socket,
            {
                "status": _answer(supervisor.state),
                "health": lambda _: health.look(),
                "stop": _answer(supervisor.request_stop),
                "renew-certificates": lambda _: supervisor.renew_certificates(),
                "call": calls.handle,
                **_guest_handlers(assembly.guests, supervisor),
            },
        )
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, supervisor.request_stop)
        await admin.start()
        try:
            journal = assembly.journal
            jobs = (
                backups.run,
                lambda: self._tell_vitals(choices.home, supervisor),
                *((lambda: journal.tell_for_ever(calls.handle),) if journal is not None else ()),
            )
            await _run_together(supervisor, assembly, jobs, on_ready)
        except ExceptionGroup:
            _log.critical("the supervisor failed", exc_info=True)
            raise
        finally:
            await admin.stop()
            await calls.close()
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def _tell_vitals(self, home: Home, supervisor: Supervisor) -> None:
        """When the start is over: what this needs takes time to load."""
        await self._kit.clock.sleep(TOLD_EVERY_S)
        from aitrading.server.supervisor.vitals import Vitals  # noqa: PLC0415 - heavy

        await Vitals(home, supervisor.state, self._kit.clock).run()

    @contextmanager
    def _logging(self, home: Home) -> Generator[None]:
        log = RotatingLog(home.logs / "supervisor.log")
        router = configure_logging(
            service="supervisor",
            instance=f"supervisor-{os.getpid()}",
            clock=self._kit.clock,
            stream=LogStream(log),
            level="INFO",
        )
        try:
            yield
        finally:
            router.close()
            log.close()

    def _facts(self, choices: Choices) -> Facts:
        return Facts(
            home=choices.home,
            url=choices.edge.url,
            version=version("aitrading-server"),
            environment=choices.environment,
            demo=choices.demo,
            pid=os.getpid(),
            began_ns=self._options.began_ns,
        )


async def _run_together(
    supervisor: Supervisor,
    assembly: Assembly,
    meanwhile: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    on_ready: Callable[[ReadyReport], None],
) -> None:
    """Issue identities while the children start; a refusal ends the start."""
    refusals: list[AitradingError] = []

    async def supervise() -> None:
        try:
            await supervisor.run(
                lambda: on_ready(ReadyReport(state=supervisor.state(), demo=assembly.demo()))
            )
        except AitradingError as exc:
            refusals.append(exc)
        finally:
            for task in by_the_clock:
                task.cancel()

    async with asyncio.TaskGroup() as group:
        by_the_clock = [group.create_task(job()) for job in meanwhile]
        group.create_task(supervise(), name="supervisor")
        try:
            await assembly.issue_identities()
        except AitradingError as exc:
            refusals.append(exc)
            supervisor.request_stop()
    if refusals:
        raise refusals[0]


def _guest_handlers(guests: Guests, supervisor: Supervisor) -> dict[str, Handler]:
    """Each changes who may use the bus, which then reads its configuration again."""

    async def admit(arguments: Mapping[str, Any]) -> object:
        admitted = await guests.admit(arguments)
        supervisor.tell_renewal(NATS)
        return admitted

    async def dismiss(arguments: Mapping[str, Any]) -> object:
        await guests.dismiss(arguments)
        supervisor.tell_renewal(NATS)
        return None

    return {
        "admit-service": admit,
        "dismiss-service": dismiss,
        "list-services": _answer(guests.told),
    }


def _answer(function: Callable[[], object]) -> Any:
    async def handler(_: Mapping[str, Any]) -> object:
        return function()

    return handler
