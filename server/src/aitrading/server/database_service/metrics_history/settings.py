"""Settings of the history of metrics."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class HistorySettings:
    """What the service's own metrics were."""

    SECTION: ClassVar[str] = "metrics_history"

    sample_s: Annotated[
        float,
        Setting(
            doc="How often the metrics are sampled; samples are kept for 30 days.",
            unit="s",
            minimum=1,
            maximum=3_600,
        ),
    ] = 15.0
