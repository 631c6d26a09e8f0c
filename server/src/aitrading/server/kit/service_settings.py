"""What an operator may decide about every service process."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Every service process."""

    SECTION: ClassVar[str] = "service"

    log_level: Annotated[
        str,
        Setting(
            doc="The least important lines that are logged.",
            choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
            reloadable=True,
            env="AITRADING_LOG_LEVEL",
        ),
    ] = "INFO"
    drain_s: Annotated[
        int,
        Setting(
            doc="How long requests may go on after the service was asked to stop.",
            unit="s",
            minimum=0,
            maximum=300,
        ),
    ] = 5
    component_stop_s: Annotated[
        float,
        Setting(
            doc="How long each component may take to stop before it is left behind.",
            unit="s",
            minimum=0.1,
            maximum=300,
        ),
    ] = 5.0
    lease_s: Annotated[
        float,
        Setting(
            doc="After this silence a service is no longer listed in the registry.",
            unit="s",
            minimum=3,
            maximum=300,
        ),
    ] = 15.0
