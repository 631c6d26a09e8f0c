"""Whose metrics are read: every instance that the hub knows, this process, and what has no listener.

A service is asked over its mutual-TLS listener, where its certificate proves that it is the one.
Of itself and its engines the supervisor writes files, which count while they are fresh.
"""

import asyncio
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NamedTuple

from aitrading.core.infrastructure.central_hub import CentralHub
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.service_registry import ServiceRecord
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.metrics_history.exposition import Snapshot, TextReader
from aitrading.server.database_service.metrics_history.metrics import ANSWERED
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.kit.bundle import TOLD_FRESH_S, TOLD_SUFFIX, PeerAddress, ServiceBundle
from aitrading.server.kit.internal_client import InternalClient

PATH: Final = "/metrics"
MAX_TEXT_BYTES: Final = 4 << 20
MAX_INSTANCES: Final = 32
SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_ADDRESS: Final = re.compile(r"[a-zA-Z0-9.:-]{1,255}:[0-9]{1,5}", re.ASCII)


class Heard(NamedTuple):
    """One process that told its metrics."""

    service: str
    snapshot: Snapshot


class Sources:
    """Asks everybody at once; who does not answer in time is missing, and nothing waits for them."""

    def __init__(
        self,
        bundle: ServiceBundle,
        hub: CentralHub,
        settings: HistorySettings,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self._bundle = bundle
        self._hub = hub
        self._settings = settings
        self._clock = clock
        self._errors = errors
        self._metrics = metrics
        self._clients: dict[tuple[str, str], InternalClient] = {}
        self._silent: set[str] = set()
        self._reader = TextReader()

    async def hear(self) -> list[Heard]:
        """Everybody's metrics now; never raises."""
        own = self._bundle.service
        heard = [Heard(own, self._reader.read(own, self._metrics.render()))]
        heard += await self._asked()
        heard += await self._told()
        self._tell({each.service for each in heard})
        return heard

    async def close(self) -> None:
        """Drop connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _asked(self) -> list[Heard]:
        others = [one for one in self._known() if one.instance != self._bundle.instance]
        await self._let_go(others)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(one)) for one in others[:MAX_INSTANCES]]
        return [heard for task in tasks if (heard := task.result()) is not None]

    def _known(self) -> list[ServiceRecord]:
        """Records that can be asked; what others wrote into the registry is not trusted."""
        return [
            one
            for one in self._hub.services()
            if SERVICE_NAME.fullmatch(one.name) and _ADDRESS.fullmatch(one.address)
        ]

    async def _ask(self, record: ServiceRecord) -> Heard | None:
        try:
            answer = await self._client(record).request(
                "GET", PATH, timeout_s=self._settings.answer_s, answer_limit_bytes=MAX_TEXT_BYTES
            )
            heard = Heard(record.name, self._reader.read(record.name, answer.body))
        except AitradingError as exc:
            if record.key not in self._silent:  # said once, not every round
                self._errors.classify(exc)
            self._silent.add(record.key)
            return None
        self._silent.discard(record.key)
        return heard

    async def _told(self) -> list[Heard]:
        heard: list[Heard] = []
        for service, text in (await asyncio.to_thread(self._fresh_files)).items():
            try:
                heard.append(Heard(service, self._reader.read(service, text)))
            except AitradingError as exc:
                self._errors.classify(exc)
        return heard

    def _fresh_files(self) -> dict[str, bytes]:
        folder, now_s = self._bundle.told, self._clock.now_ns() / NS_PER_S
        if folder is None or not folder.is_dir():
            return {}
        fresh: dict[str, bytes] = {}
        for file in sorted(folder.glob(f"*{TOLD_SUFFIX}"))[:MAX_INSTANCES]:
            service = file.name.removesuffix(TOLD_SUFFIX)
            with suppress(OSError):  # who is not there to be read is a gap
                is_fresh = abs(now_s - file.stat().st_mtime) <= TOLD_FRESH_S
                if SERVICE_NAME.fullmatch(service) and is_fresh:
                    fresh[service] = file.read_bytes()
        return fresh

    def _client(self, record: ServiceRecord) -> InternalClient:
        place = record.name, record.address
        if place not in self._clients:
            host, _, port = record.address.rpartition(":")
            address = PeerAddress(host=host, port=int(port))
            self._clients[place] = InternalClient.to(
                self._bundle, record.name, address, self._clock
            )
        return self._clients[place]

    async def _let_go(self, present: Collection[ServiceRecord]) -> None:
        """Forget clients of places where nobody is any more."""
        places = {(record.name, record.address) for record in present}
        for place in self._clients.keys() - places:
            await self._clients.pop(place).close()
        self._silent &= {record.key for record in present}

    def _tell(self, answered: set[str]) -> None:
        expected = {*answered, *self._bundle.peers, *(one.name for one in self._known())}
        for service in expected:
            self._metrics.set(ANSWERED, float(service in answered), service=service)
