"""The composition root of the running client."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from aitrading.client.errors import CLIENT_HOME_IN_USE
from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.metrics import LINK_CONNECTED, LINK_ROUND_TRIP
from aitrading.client.metatrader_connector.named_login import NamedLogin
from aitrading.client.metatrader_connector.poller import TickPoller
from aitrading.client.metatrader_connector.questions import log_in
from aitrading.client.metatrader_connector.repairer import Repairer
from aitrading.client.metatrader_connector.settings import (
    ClientSpoolSettings,
    ConnectorSettings,
)
from aitrading.client.metatrader_connector.stored_login import StoredLogin
from aitrading.client.metatrader_connector.symbol_list import symbols_app
from aitrading.client.metatrader_connector.terminal_report import of_running, terminal_app
from aitrading.client.metatrader_connector.uplink import TickUplink
from aitrading.client.page.app import page_app
from aitrading.client.parts import PART_SECTIONS, ClientParts, PartsRoom, client_parts
from aitrading.client.probe_server import ProbeServer
from aitrading.client.run_record import RUN_FILE, RunRecord
from aitrading.client.security.backend_settings import BackendSettings, require_enrolled_at
from aitrading.client.security.certificate_keeper import CertificateKeeper
from aitrading.client.security.checkpoints import WitnessedCheckpoint
from aitrading.client.security.clear_password import CONFIG_NAME, require_no_password
from aitrading.client.security.confinement import ConfinementSettings
from aitrading.client.security.credential_keeper import CredentialKeeper
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.file_keys import client_file_keys
from aitrading.client.security.installation import Installation
from aitrading.client.security.login_settings import OWNER_STORE, TerminalLoginSettings
from aitrading.client.security.measures import Standing
from aitrading.client.security.process_security import confine, harden
from aitrading.client.security.protections import passphrase_in, protections
from aitrading.client.security.secure_websocket_client import (
    LinkAddress,
    LinkState,
    SecureWebSocketClient,
)
from aitrading.client.security.security_keeper import SecurityKeeper
from aitrading.client.security.trust import client_context
from aitrading.client.security.worker_job import worker_job
from aitrading.client.terminal.availability import FILE_NAME as AVAILABILITY_FILE
from aitrading.client.terminal.availability import told_availability
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.pool import TerminalPool
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.pool.slot import LogIn
from aitrading.client.terminal.reads import RememberedReads
from aitrading.client.terminal.select import TerminalKind, require_terminal
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.files import make_private_folder, try_lock, write_atomically
from aitrading.core.infrastructure.health import ComponentHealth, HealthRegistry, publish_health
from aitrading.core.infrastructure.lifecycle import Component, ComponentState, LifecycleManager
from aitrading.core.infrastructure.metrics import Metrics, Reading
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.infrastructure.tenant_context import current_error_context
from aitrading.core.kit.clock import NS_PER_S, Clock, SystemClock
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import IdFactory, SystemIdFactory
from aitrading.core.kit.randomness import Randomness, SystemRandomness
from aitrading.core.logging.optimized_log_router import configure_logging, get_logger
from aitrading.core.protocol.link.session import ClientProfile

SERVICE: Final = "metatrader-connector"
MIB: Final = 1024 * 1024
SEGMENT_AGE_MS: Final = 5_000
SECTIONS: Final = (
    ConnectorSettings,
    ClientSpoolSettings,
    SimulatedTerminalSettings,
    TerminalLoginSettings,
    TerminalPoolSettings,
    BackendSettings,
    ConfinementSettings,
    *PART_SECTIONS,
)

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What comes from outside of the client: the machine, or a test."""

    clock: Clock
    ids: IdFactory
    randomness: Randomness

    @classmethod
    def of_machine(cls) -> "Surroundings":
        """The machine's clock and randomness."""
        clock, randomness = SystemClock(), SystemRandomness()
        return cls(clock=clock, ids=SystemIdFactory(clock, randomness), randomness=randomness)


@dataclass(frozen=True, kw_only=True)
class RunningClient:
    """The parts of a client that runs."""

    link: SecureWebSocketClient
    uplink: TickUplink
    terminal: TerminalPool
    poller: TickPoller
    journal: TickJournal
    probes: ProbeServer
    health: HealthRegistry
    errors: ErrorHandler
    parts: ClientParts


def load_config(home: Path, environ: Mapping[str, str]) -> ConfigManager:
    """The client's settings: defaults, `HOME/aitrading.toml`, environment.

    Raises `CREDENTIALS_IN_CLEAR`, or everything that is wrong with them.
    """
    path = home / CONFIG_NAME
    require_no_password(environ, path)
    return ConfigManager.load(
        SECTIONS, toml_path=path if path.exists() else None, environ=environ, strict=False
    )


def software() -> str:
    """How the client introduces itself."""
    return f"aitrading-client/{version('aitrading-client')}"


async def serve(home: Path, kind: TerminalKind, environ: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT; raises what keeps it from starting."""
    standings = harden()  # before anything is worth reading in its memory
    surroundings = Surroundings.of_machine()
    record = DeviceFiles(home).load()
    configure_logging(
        service=SERVICE, instance=str(record.device), clock=surroundings.clock, level="INFO"
    )
    ended = asyncio.Event()
    _end_with_signals(ended)
    config = load_config(home, environ)
    require_enrolled_at(config.get(BackendSettings), record)
    standings += confine(home, enabled=config.get(ConfinementSettings).enabled)
    async with running_client(home, kind, config, surroundings, standings) as client:
        _log.info("client runs", port=client.probes.port, terminal=kind.value)
        await ended.wait()
    _log.info("client stopped")


def _end_with_signals(ended: asyncio.Event) -> None:
    """SIGTERM, Ctrl-C and, on Windows, Ctrl-Break set the event."""
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        return

    def end(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(ended.set)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK):  # its loops take no handlers
        signal.signal(number, end)


@asynccontextmanager
async def running_client(
    home: Path,
    kind: TerminalKind,
    config: ConfigManager,
    surroundings: Surroundings,
    standings: Sequence[Standing] = (),
) -> AsyncGenerator[RunningClient]:
    """The whole client over one home, for the time of the block.

    `standings` is what the hardening of its process came to; it is told to the server.
    """
    async with AsyncExitStack() as stack:
        lock = try_lock(home / "client.lock")
        if lock is None:
            raise CLIENT_HOME_IN_USE.error(home=str(home))
        stack.callback(os.close, lock)
        files = DeviceFiles(home)
        client, components = await _build(stack, home, files, kind, config, surroundings)
        components.append(_security(home, files, client, standings, surroundings.clock))
        await stack.enter_async_context(LifecycleManager(components))
        ports = {runner.name: runner.port for runner in client.parts.runners}
        run = RunRecord(pid=os.getpid(), port=client.probes.port, parts=ports)
        write_atomically(home / RUN_FILE, msgspec.json.encode(run))
        stack.callback((home / RUN_FILE).unlink, missing_ok=True)
        yield client


async def _build(
    stack: AsyncExitStack,
    home: Path,
    files: DeviceFiles,
    kind: TerminalKind,
    config: ConfigManager,
    surroundings: Surroundings,
) -> tuple[RunningClient, list[Component]]:
    record = files.load()
    core = _Core.make(record, surroundings)
    journal = await _open_journal(stack, home, record, config, surroundings)
    connector = config.get(ConnectorSettings)
    keeper = CertificateKeeper(files, record, clock=surroundings.clock, errors=core.errors)
    vault = _vault(home, files, record, config, surroundings.clock)
    job = stack.enter_context(worker_job())
    terminal = _terminal(home, kind, job, config, surroundings, core, vault)
    poller = TickPoller(
        terminal,
        journal,
        connector,
        clock=surroundings.clock,
        errors=core.errors,
        metrics=core.metrics,
    )
    stack.callback(
        config.subscribe(ConnectorSettings, lambda changed: poller.collect(changed.symbols))
    )
    uplink = TickUplink(journal, clock=surroundings.clock, metrics=core.metrics)
    link = _link(files, record, uplink, core.errors, surroundings)
    uplink.link = link
    uplink.truth.silent = poller.silent
    link.checkpoints = WitnessedCheckpoint(home)
    parts = await _parts(stack, home, files, config, journal, core, surroundings)
    link.on_news = parts.on_link_event
    probes = ProbeServer(connector.probe_port, core.health, core.metrics)
    client = RunningClient(
        link=link,
        uplink=uplink,
        terminal=terminal,
        poller=poller,
        journal=journal,
        probes=probes,
        health=core.health,
        errors=core.errors,
        parts=parts,
    )
    _show(client, keeper, core.metrics)
    reads = RememberedReads(terminal, surroundings.clock)
    terminal.forget_with(reads.forget)
    core.health.watch(reads, critical=False)
    probes.app = symbols_app(reads, lambda: poller.symbols, probes.app)
    probes.app = terminal_app(lambda: of_running(terminal, poller, surroundings.clock), probes.app)
    probes.app = page_app(parts.page_view(), probes.app)
    repairer = Repairer(terminal, journal, uplink, surroundings.clock)
    components: list[Component] = [probes, keeper, terminal, reads, uplink, poller, repairer, link]
    components += parts.components
    if vault:
        login = CredentialKeeper(
            vault,
            renew_s=config.get(TerminalLoginSettings).renew_s,
            clock=surroundings.clock,
            errors=core.errors,
        )
        core.health.watch(login)
        components.append(login)
    return client, components


def _terminal(
    home: Path,
    kind: TerminalKind,
    job: str,
    config: ConfigManager,
    surroundings: Surroundings,
    core: "_Core",
    vault: CredentialManager | None,
) -> TerminalPool:
    """The worker processes; raises what makes every one of them impossible."""
    settings = config.get(SimulatedTerminalSettings)
    require_terminal(kind, settings, surroundings.clock)
    return TerminalPool(
        Opening.of(
            kind,
            settings,
            surroundings.clock,
            job=job,
            confined=config.get(ConfinementSettings).enabled,
        ),
        config.get(TerminalPoolSettings),
        home=home,
        log_in=_log_in(config.get(TerminalLoginSettings), vault),
        clock=surroundings.clock,
        randomness=surroundings.randomness,
        errors=core.errors,
        metrics=core.metrics,
    )


def _log_in(settings: TerminalLoginSettings, vault: CredentialManager | None) -> LogIn:
    stored = StoredLogin(vault) if vault else None
    return NamedLogin(settings, stored) if settings.login else stored or log_in


def _security(
    home: Path,
    files: DeviceFiles,
    client: RunningClient,
    standings: Sequence[Standing],
    clock: Clock,
) -> SecurityKeeper:
    keeper = SecurityKeeper(
        DeviceCalls(files, files.load(), clock),
        lambda: (*standings, *client.terminal.standings),
        software=software(),
        clock=clock,
        errors=client.errors,
        installation=Installation(seen=files.release_seen),
        availability=lambda: told_availability(home / AVAILABILITY_FILE),
    )
    client.health.watch(keeper)
    return keeper


async def _parts(
    stack: AsyncExitStack,
    home: Path,
    files: DeviceFiles,
    config: ConfigManager,
    journal: TickJournal,
    core: "_Core",
    surroundings: Surroundings,
) -> ClientParts:
    room = PartsRoom(
        home=home,
        files=files,
        record=files.load(),
        config=config,
        tap=journal,
        health=core.health,
        errors=core.errors,
        metrics=core.metrics,
        clock=surroundings.clock,
        ids=surroundings.ids,
        randomness=surroundings.randomness,
    )
    return await stack.enter_async_context(client_parts(room))


def _vault(
    home: Path, files: DeviceFiles, record: DeviceRecord, config: ConfigManager, clock: Clock
) -> CredentialManager | None:
    """The stored login, if it is what logs the terminal in; nobody asks for a passphrase here."""
    settings = config.get(TerminalLoginSettings)
    if settings.owner != OWNER_STORE:
        return None
    return CredentialManager(
        home,
        record,
        DeviceCalls(files, record, clock),
        protection=protections(passphrase_in(settings.passphrase_file)),
        clock=clock,
    )


@dataclass(frozen=True, kw_only=True)
class _Core:
    """What every process has."""

    metrics: Metrics
    errors: ErrorHandler
    health: HealthRegistry

    @classmethod
    def make(cls, record: DeviceRecord, surroundings: Surroundings) -> "_Core":
        metrics, resilience = Metrics(), ResilienceRegistry()
        errors = ErrorHandler(
            clock=surroundings.clock,
            randomness=surroundings.randomness,
            metrics=metrics,
            resilience=resilience,
            context=current_error_context,
        )
        health = HealthRegistry(
            service=SERVICE,
            instance=str(record.device),
            version=version("aitrading-client"),
            clock=surroundings.clock,
            resilience=resilience,
            errors=errors,
        )
        publish_health(health, metrics)
        return cls(metrics=metrics, errors=errors, health=health)


async def _open_journal(
    stack: AsyncExitStack,
    home: Path,
    record: DeviceRecord,
    config: ConfigManager,
    surroundings: Surroundings,
) -> TickJournal:
    settings = config.get(ClientSpoolSettings)
    folder = home / "journal" / str(record.device)
    make_private_folder(folder)
    journal = await TickJournal.open(
        folder,
        identity=JournalIdentity(tenant=record.identity.tenant, device=record.identity.device),
        limits=SpoolLimits(
            limit_bytes=settings.limit_mb * MIB,
            segment_bytes=settings.segment_mb * MIB,
            segment_age_ms=SEGMENT_AGE_MS,
        ),
        clock=surroundings.clock,
        ids=surroundings.ids,
        keys=client_file_keys(home),
        batch_ticks=settings.batch_ticks,
    )
    stack.push_async_callback(journal.close)
    return journal


def _link(
    files: DeviceFiles,
    record: DeviceRecord,
    uplink: TickUplink,
    errors: ErrorHandler,
    surroundings: Surroundings,
) -> SecureWebSocketClient:
    def context() -> ssl.SSLContext:
        files.require_valid(surroundings.clock.now_ns())
        return client_context(files.record().trust, files.tls)

    server = record.server
    return SecureWebSocketClient(
        LinkAddress(host=server.host, port=server.port, server_name=server.link_name),
        uplink,
        context=context,
        profile=ClientProfile(software=software(), life=str(surroundings.ids.new())),
        clock=surroundings.clock,
        randomness=surroundings.randomness,
        errors=errors,
    )


def _show(client: RunningClient, keeper: CertificateKeeper, metrics: Metrics) -> None:
    """Everything a person or a probe may want to know."""
    health = client.health
    health.watch(client.probes)
    health.watch(keeper)
    health.watch(client.link)
    health.watch(client.terminal)
    health.watch(client.poller)
    health.watch(client.uplink)
    client.parts.show()
    spool = client.journal.spool
    health.probe(
        "journal",
        lambda: ComponentHealth(
            state=ComponentState.FAILED if spool.statistics().failed else ComponentState.HEALTHY,
            fields=_spool_fields(client.journal),
        ),
    )
    metrics.add_source(lambda: _readings(client.link))


def _spool_fields(journal: TickJournal) -> dict[str, FieldValue]:
    statistics = journal.spool.statistics()
    return {
        "used_bytes": statistics.used_bytes,
        "limit_bytes": statistics.limit_bytes,
        "streams": len(journal.streams),
        "gaps": journal.gaps.added,
    }


def _readings(link: SecureWebSocketClient) -> list[Reading]:
    readings = [Reading(LINK_CONNECTED, float(link.link_state is LinkState.CONNECTED))]
    if link.round_trip_ns is not None:
        readings.append(Reading(LINK_ROUND_TRIP, link.round_trip_ns / NS_PER_S))
    return readings
