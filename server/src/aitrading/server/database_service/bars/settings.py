"""Settings of bars."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class BarSettings:
    """Bars from one second to one day."""

    SECTION: ClassVar[str] = "bars"

    round_s: Annotated[
        float,
        Setting(
            doc="How often missing bars are made; until then questions make them from ticks.",
            unit="s",
            minimum=0.1,
            maximum=3_600,
        ),
    ] = 30.0
