"""Settings of the simulated terminal."""

from dataclasses import dataclass
from pathlib import Path
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
    symbols: Annotated[
        tuple[str, ...],
        Setting(doc="Symbols of the catalogue that the broker lists; `*` lists all of them."),
    ] = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
    suffix: Annotated[
        str, Setting(doc="What the broker adds to every symbol's name, for example `m`.")
    ] = ""
    keeps_hours: Annotated[
        bool,
        Setting(
            doc="Close markets at night and on weekends as each class of instrument does; "
            "otherwise there are prices at any hour."
        ),
    ] = False
    netting: Annotated[
        bool, Setting(doc="One position per symbol; otherwise positions may oppose each other.")
    ] = False
    replay: Annotated[
        Path | None,
        Setting(doc="A recorded day, or a folder of them, instead of made-up prices."),
    ] = None
    replay_starts_s: Annotated[
        int | None,
        Setting(
            doc="When the recording begins to happen, in seconds since 1970, UTC; without it, "
            "when the terminal is opened.",
            unit="s",
            minimum=0,
        ),
    ] = None
    speed: Annotated[
        float,
        Setting(doc="How many times as fast a recording is replayed.", minimum=0.001, maximum=1e9),
    ] = 1.0
    clock_starts_s: Annotated[
        int | None,
        Setting(
            doc="What the terminal's clock shows when it is opened, in seconds since 1970, UTC; "
            "without it, the time of now.",
            unit="s",
            minimum=0,
            maximum=1 << 32,
        ),
    ] = None
    clock_speed: Annotated[
        float,
        Setting(
            doc="How many times as fast the terminal's clock runs.", minimum=0.001, maximum=1e6
        ),
    ] = 1.0
    faults: Annotated[
        Path | None, Setting(doc="A script of faults that happen to the terminal.")
    ] = None
    process: Annotated[
        Path | None,
        Setting(
            doc="Use a simulated terminal that runs as its own process: the file in which "
            "`aitrading-client sim serve` says where it listens. The settings above are then its."
        ),
    ] = None
    replaces_package: Annotated[
        bool,
        Setting(
            doc="Where the folder of `aitrading-client sim path` is on PYTHONPATH: give the simulated "
            "terminal even if the package MetaTrader5 is installed; otherwise that import is refused."
        ),
    ] = False
