"""Settings of the traces that are kept."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """Which requests can be looked at afterwards, step by step."""

    SECTION: ClassVar[str] = "traces"

    share: Annotated[
        float,
        Setting(
            doc="Share of ordinary requests whose trace is kept. Those that failed, were refused "
            "or were slow are kept whatever this says.",
            minimum=0,
            maximum=1,
        ),
    ] = 0.02
    slow_ms: Annotated[
        int,
        Setting(
            doc="A request that takes longer is slow, and its trace is kept.",
            unit="ms",
            minimum=1,
            maximum=600_000,
        ),
    ] = 500
    hold_s: Annotated[
        float,
        Setting(
            doc="How long the parts of a trace are held until it is decided whether it is kept.",
            unit="s",
            minimum=1,
            maximum=60,
        ),
    ] = 4.0
    held_spans: Annotated[
        int,
        Setting(
            doc="Spans held at most; beyond, whole traces that did not fail are let go of and "
            "counted.",
            minimum=1_000,
            maximum=10_000_000,
        ),
    ] = 100_000
    per_minute: Annotated[
        int,
        Setting(
            doc="Traces kept in a minute of one organisation, and of the platform itself; failed "
            "ones count by themselves (`failed_per_minute`).",
            minimum=1,
            maximum=100_000,
        ),
    ] = 600
    failed_per_minute: Annotated[
        int,
        Setting(
            doc="Traces of failed requests kept in a minute of one organisation, and of the "
            "platform itself.",
            minimum=1,
            maximum=1_000_000,
        ),
    ] = 6_000
    keep_days: Annotated[
        int,
        Setting(doc="How long a kept trace can be read.", unit="days", minimum=1, maximum=365),
    ] = 7
    keep_traces: Annotated[
        int,
        Setting(
            doc="Traces kept of one organisation; beyond, the oldest are forgotten within the hour.",
            minimum=100,
            maximum=10_000_000,
        ),
    ] = 20_000
