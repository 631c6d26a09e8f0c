"""Settings of the simulated terminal."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class SimulatedTerminalSettings:
    """The simulated terminal."""

    SECTION: ClassVar[str] = "terminal_sim"

    seed: Annotated[int, Setting(doc="The same seed gives the same market.", minimum=0)] = 1
    ticks_per_s: Annotated[
        float,
        Setting(
            doc="Average ticks per second and symbol.", unit="1/s", minimum=0.01, maximum=100_000
        ),
    ] = 4.0
