"""What the page shows, gathered when it is asked for. No secret is among it, and no login."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final, cast

from aitrading.client.config_manager.keeper import ConfigKeeper
from aitrading.client.held_back import held_back, warned
from aitrading.client.market_monitor.monitor import MarketMonitor
from aitrading.client.page.board import FeedBoard
from aitrading.client.part_runner import PartRunner
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.device_settings import remote_settings
from aitrading.core.infrastructure.health import ComponentHealth, HealthRegistry
from aitrading.core.kit.clock import NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError

HIDDEN_FIELDS: Final = frozenset({"account"})


@dataclass(frozen=True, kw_only=True)
class PageView:
    """Reads the parts of the running client."""

    record: DeviceRecord
    files: DeviceFiles
    config: ConfigManager
    health: HealthRegistry
    board: FeedBoard
    runners: tuple[PartRunner, ...]
    clock: Clock

    def __call__(self) -> dict[str, Any]:
        """As JSON has it."""
        components = self.health.components()
        return {
            "device": str(self.record.device),
            "server": self.record.server.url,
            "state": self.health.state().value,
            "now": rfc3339_of_ns(self.clock.now_ns()),
            "versions": {
                "client": version("aitrading-client"),
                "core": version("aitrading-core"),
                "python": platform.python_version(),
            },
            "certificate": self._certificate(),
            "components": {
                name: {
                    "state": health.state.value,
                    "fields": {k: v for k, v in health.fields.items() if k not in HIDDEN_FIELDS},
                }
                for name, health in components.items()
                if name not in {runner.name for runner in self.runners}
            },
            "held": _held(components),
            "feeds": self.board.view(),
            "configuration": self._configuration(),
            "alerts": self._alerts(),
            "parts": [
                {
                    "name": runner.name,
                    "state": runner.state.value,
                    "port": runner.port,
                    "fields": runner.statistics(),
                }
                for runner in self.runners
            ],
        }

    def _certificate(self) -> dict[str, Any]:
        try:
            validity = self.files.certificate().validity
        except AitradingError as exc:
            return {"problem": exc.code}
        now_ns, ends_ns = self.clock.now_ns(), validity.not_after_ns
        return {
            "ends": rfc3339_of_ns(ends_ns),
            "left_s": (ends_ns - now_ns) // NS_PER_S,
            "age_s": max(0, now_ns - validity.not_before_ns) // NS_PER_S,
        }

    def _configuration(self) -> dict[str, Any]:
        keeper = next((r.part for r in self.runners if isinstance(r.part, ConfigKeeper)), None)
        known = self.config.explain_all()
        return {
            "version": keeper.in_use.version if keeper and keeper.in_use else 0,
            "problem": keeper.problem if keeper else "",
            "settings": [
                {
                    "name": name,
                    "value": _text(known[name].value),
                    "from": known[name].source,
                }
                for name in remote_settings()
            ],
        }

    def _alerts(self) -> dict[str, Any]:
        monitor = next((r.part for r in self.runners if isinstance(r.part, MarketMonitor)), None)
        if monitor is None:
            return {"open": [], "newest": []}
        return {
            "open": [asdict(each) for each in monitor.open_alerts],
            "newest": [asdict(each) for each in monitor.newest],
        }


def _held(components: Mapping[str, ComponentHealth]) -> str | None:
    """Why the server takes no ticks, or what it warns of, and what to do."""
    uplink, link = (
        components[name].fields if name in components else {} for name in ("uplink", "link")
    )
    spec = held_back(uplink, link) or warned(link)
    return f"{spec.message} {spec.why} {spec.remedy}" if spec else None


def _text(value: Any) -> str:
    return ", ".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)
