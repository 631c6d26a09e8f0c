"""Settings of the history of metrics."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting

FINEST_ROLL_UP_S: Final = 300


@dataclass(frozen=True, kw_only=True)
class HistorySettings:
    """What the metrics of every service were."""

    SECTION: ClassVar[str] = "metrics_history"

    sample_s: Annotated[
        int,
        Setting(
            doc="How often everybody's metrics are read: a number of seconds that divides "
            "five minutes.",
            unit="s",
            minimum=1,
            maximum=FINEST_ROLL_UP_S,
        ),
    ] = 15
    answer_s: Annotated[
        float,
        Setting(
            doc="How long a service may take to tell its metrics; then the history has a gap.",
            unit="s",
            minimum=0.1,
            maximum=30,
        ),
    ] = 3.0
    series_per_service: Annotated[
        int,
        Setting(
            doc="Series kept of one service; new ones beyond are refused and counted.",
            minimum=100,
            maximum=20_000,
        ),
    ] = 2_000

    def problems(self) -> Iterable[str]:
        """A step of five minutes holds whole samples."""
        if FINEST_ROLL_UP_S % self.sample_s:
            yield f"sample_s = {self.sample_s} does not divide {FINEST_ROLL_UP_S}"
