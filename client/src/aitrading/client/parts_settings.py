"""Ports of the client's parts, on the loopback interface."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class PartsSettings:
    """Where each part tells how it is; the connector's own port is `connector.probe_port`.

    When that is not its default, another client is likely to run here: parts whose port is not set
    take a free one.
    """

    SECTION: ClassVar[str] = "client_parts"

    data_collector_port: Annotated[
        int, Setting(doc="Port of the data collector's health.", minimum=0, maximum=65_535)
    ] = 9_002
    market_monitor_port: Annotated[
        int, Setting(doc="Port of the market monitor's health.", minimum=0, maximum=65_535)
    ] = 9_003
    config_manager_port: Annotated[
        int, Setting(doc="Port of the configuration manager's health.", minimum=0, maximum=65_535)
    ] = 9_004
