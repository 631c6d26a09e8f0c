"""From settings to decisions: which ports, which edge, whether everything asked for makes sense."""

from collections.abc import Mapping

from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.supervisor.all_settings import all_sections
from aitrading.server.supervisor.bundles import LOOPBACK, SERVICES
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.ports import PortRequest
from aitrading.server.supervisor.settings import BackupSettings, PlatformSettings, PortSettings

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 # nosec B104 - compared with, never bound
EDGE = "edge"
NATS = "nats"
CLIENT = "demo client"

_OWN = (PlatformSettings, PortSettings, GatewaySettings, BackupSettings, StoreSettings)
_OWN_NAMES = frozenset(section.SECTION for section in _OWN)


def load_configuration(
    home: Home, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> ConfigManager:
    """Read what the supervisor itself decides by; raises one error with every problem.

    What a person wrote for others is examined as well, before anything starts.
    """
    for_others = home.config_file.exists() or not _OWN_NAMES.issuperset(
        key.partition(".")[0] for key in overrides
    )
    return ConfigManager.load(
        all_sections() if for_others else _OWN,
        toml_path=home.config_file if home.config_file.exists() else None,
        environ=environ,
        overrides=overrides,
        strict=for_others,
    )


def port_requests(config: ConfigManager, *, demo: bool) -> list[PortRequest]:
    """Every TCP port of the platform, by purpose."""
    ports, gateway = config.get(PortSettings), config.get(GatewaySettings)
    services = [
        PortRequest(
            setting=f"ports.{service.port_setting}",
            purpose=service.name,
            host=LOOPBACK,
            port=getattr(ports, service.port_setting),
        )
        for service in SERVICES
    ]
    client = PortRequest(setting="ports.client", purpose=CLIENT, host=LOOPBACK, port=ports.client)
    return [
        *services,
        PortRequest(setting="ports.nats", purpose=NATS, host=LOOPBACK, port=ports.nats),
        PortRequest(setting="gateway.port", purpose=EDGE, host=gateway.address, port=gateway.port),
        *([client] if demo else []),
    ]
