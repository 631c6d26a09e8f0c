"""The client's parts beside the connector, put together."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from aitrading.client.config_manager.keeper import ConfigKeeper
from aitrading.client.config_manager.settings import ConfigurationSettings
from aitrading.client.config_manager.store import BundleStore
from aitrading.client.data_collector.collector import DataCollector
from aitrading.client.data_collector.known_notes import KnownNotes
from aitrading.client.data_collector.settings import DataSourcesSettings
from aitrading.client.market_monitor.monitor import MarketMonitor, TickTap
from aitrading.client.market_monitor.open_alerts import OpenAlerts
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.notes.queue import NoteQueue
from aitrading.client.notes.sender import NoteSender
from aitrading.client.page.board import FeedBoard
from aitrading.client.page.view import PageView
from aitrading.client.part_runner import Part, PartRunner
from aitrading.client.parts_settings import PartsSettings
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.file_keys import client_file_keys
from aitrading.client.security.protections import passphrase_in, protections
from aitrading.client.security.server_pins import take_pins
from aitrading.core.infrastructure.config_manager import ConfigManager, Layer
from aitrading.core.infrastructure.device_settings import PART_SECTIONS as REMOTE_PART_SECTIONS
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import Component
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.randomness import Randomness
from aitrading.core.protocol.link.events import ClientEvent, Established, SettingsTold

PART_SECTIONS = (PartsSettings, ConfigurationSettings, DataSourcesSettings, *REMOTE_PART_SECTIONS)


@dataclass(frozen=True, kw_only=True)
class PartsRoom:
    """What the parts get from the client."""

    home: Path
    files: DeviceFiles
    record: DeviceRecord
    config: ConfigManager
    tap: TickTap
    health: HealthRegistry
    errors: ErrorHandler
    metrics: Metrics
    clock: Clock
    ids: IdFactory
    randomness: Randomness


class ClientParts:
    """The three parts and their way to the server."""

    def __init__(self, room: PartsRoom, queue: NoteQueue) -> None:
        self._room = room
        self._queue = queue
        self.sender = NoteSender(
            queue,
            self._calls(),
            clock=room.clock,
            randomness=room.randomness,
            errors=room.errors,
        )
        ports = room.config.get(PartsSettings)
        self.config_manager = self._runner(
            "config-manager", self._keeper, ports.config_manager_port
        )
        self.market_monitor = self._runner(
            "market-monitor", self._monitor, ports.market_monitor_port
        )
        self.data_collector = self._runner(
            "data-collector", self._collector, ports.data_collector_port
        )

    @property
    def runners(self) -> tuple[PartRunner, ...]:
        """Every part."""
        return self.config_manager, self.market_monitor, self.data_collector

    @property
    def components(self) -> list[Component]:
        """In the order of starting: what the server says counts before the others look."""
        return [self.sender, *self.runners]

    def on_link_event(self, event: ClientEvent) -> None:
        """A new link, and news on it, are reasons to ask for the configuration."""
        keeper = self.config_manager.part
        if isinstance(event, Established | SettingsTold) and isinstance(keeper, ConfigKeeper):
            keeper.look_now()

    def page_view(self) -> PageView:
        """What the client's page shows."""
        room, board = self._room, FeedBoard(self._room.clock)
        room.tap.observers.append(board.on_rows)
        return PageView(
            record=room.record,
            files=room.files,
            config=room.config,
            health=room.health,
            board=board,
            runners=self.runners,
            clock=room.clock,
        )

    def show(self) -> None:
        """In the client's own health; none of it keeps the connector from being ready."""
        for component in (self.sender, *self.runners):
            self._room.health.watch(component, critical=False)

    def _runner(self, name: str, make: Callable[[], Part], port: int) -> PartRunner:
        room = self._room
        health = HealthRegistry(
            service=name,
            instance=str(room.record.device),
            version=version("aitrading-client"),
            clock=room.clock,
            resilience=room.health.resilience,
            errors=room.errors,
        )
        return PartRunner(
            name,
            make,
            port=port if self._is_meant(name) else 0,
            health=health,
            metrics=room.metrics,
            errors=room.errors,
            clock=room.clock,
            randomness=room.randomness,
        )

    def _is_meant(self, name: str) -> bool:
        """A part's default port is for the client that has the connector's default, too."""
        config = self._room.config
        setting = f"{PartsSettings.SECTION}.{name.replace('-', '_')}_port"
        is_set = config.explain(setting).layer is not Layer.DEFAULT
        return is_set or config.get(ConnectorSettings).probe_port == ConnectorSettings.probe_port

    def _keeper(self) -> ConfigKeeper:
        room, settings = self._room, self._room.config.get(ConfigurationSettings)
        ways = protections(passphrase_in(settings.passphrase_file))
        return ConfigKeeper(
            partial(BundleStore.opened, room.home, room.record, settings, ways),
            room.record,
            self._calls(),
            partial(take_pins, room.files),
            room.config,
            ask_every_s=settings.ask_every_s,
            clock=room.clock,
            randomness=room.randomness,
            errors=room.errors,
        )

    def _monitor(self) -> MarketMonitor:
        room = self._room
        return MarketMonitor(
            room.tap,
            room.config,
            self._queue.tell,
            OpenAlerts(room.home / "monitor", client_file_keys(room.home)),
            clock=room.clock,
            ids=room.ids,
            metrics=room.metrics,
        )

    def _collector(self) -> DataCollector:
        room = self._room
        return DataCollector(
            room.config,
            KnownNotes(room.home / "collector", client_file_keys(room.home)),
            room.home / "sources",
            self._queue.put,
            clock=room.clock,
            randomness=room.randomness,
            errors=room.errors,
            metrics=room.metrics,
        )

    def _calls(self) -> DeviceCalls:
        room = self._room
        return DeviceCalls(room.files, room.record, room.clock)


@asynccontextmanager
async def client_parts(room: PartsRoom) -> AsyncGenerator[ClientParts]:
    """The parts over one home; their queue is closed at the end of the block."""
    queue = await NoteQueue.opened(
        room.home / "notes" / str(room.record.device),
        clock=room.clock,
        ids=room.ids,
        keys=client_file_keys(room.home),
        metrics=room.metrics,
    )
    try:
        yield ClientParts(room, queue)
    finally:
        await queue.close()
