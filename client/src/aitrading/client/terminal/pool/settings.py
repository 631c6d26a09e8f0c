"""Settings of the workers."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class TerminalPoolSettings:
    """The processes that hold connections to the terminal."""

    SECTION: ClassVar[str] = "terminal_pool"

    workers_min: Annotated[
        int, Setting(doc="Connections kept even when nothing waits.", minimum=1, maximum=32)
    ] = 1
    workers_max: Annotated[
        int,
        Setting(
            doc="Most connections at a time. With one, heavy reads of history share it with "
            "orders and ticks.",
            minimum=1,
            maximum=32,
        ),
    ] = 5
    paths: Annotated[
        tuple[str, ...],
        Setting(
            doc="Programs `terminal64.exe` of separate installations, one for each worker in "
            "turn; the first executes orders. None: all workers use the terminal that runs."
        ),
    ] = ()
    connect_timeout_s: Annotated[
        float, Setting(doc="Limit for connecting and logging in.", unit="s", minimum=1)
    ] = 90.0
    order_timeout_s: Annotated[
        float,
        Setting(
            doc="A request to the broker that has no answer by then has an unknown outcome, and "
            "its worker is ended.",
            unit="s",
            minimum=0.1,
        ),
    ] = 60.0
    call_timeout_s: Annotated[
        float,
        Setting(doc="The same for quick questions and new ticks.", unit="s", minimum=0.1),
    ] = 30.0
    history_timeout_s: Annotated[
        float, Setting(doc="The same for reads of history.", unit="s", minimum=0.1)
    ] = 120.0
    wait_s: Annotated[
        float,
        Setting(
            doc="Longest time a question waits for a worker; after that it is not executed.",
            unit="s",
            minimum=0.01,
        ),
    ] = 20.0
    queue_max: Annotated[
        int, Setting(doc="Most questions that wait at a time.", minimum=1, maximum=100_000)
    ] = 1_000
    health_every_s: Annotated[
        float, Setting(doc="How often each idle connection is tried.", unit="s", minimum=0.1)
    ] = 30.0
    grow_after_ms: Annotated[
        int,
        Setting(
            doc="A question that waits this long makes the pool grow by one worker.",
            unit="ms",
            minimum=1,
        ),
    ] = 100
    shrink_after_s: Annotated[
        float,
        Setting(
            doc="How long fewer workers would have been enough before one is ended.",
            unit="s",
            minimum=0.1,
        ),
    ] = 60.0
