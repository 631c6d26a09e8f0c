"""Settings of the simulated terminal."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting

AS_USUAL: Final = "usual"
"""As the class of each instrument is."""
POINTS_MAX: Final = 1_000_000


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
    shown: Annotated[
        tuple[str, ...],
        Setting(
            doc="Symbols in Market Watch from the start, by their catalogue names; without any, "
            "all. The others have no prices until `symbol_select`."
        ),
    ] = ()
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
    accounts: Annotated[
        Path | None,
        Setting(
            doc="A file with the broker's accounts and what opens each; a log-in with anything else is "
            "refused. Only its owner may read it. Without it there is one account, which everybody "
            "opens under any number."
        ),
    ] = None
    leverage: Annotated[
        int, Setting(doc="Leverage of the account.", minimum=1, maximum=10_000)
    ] = 100
    deposit: Annotated[
        float, Setting(doc="Money on the account at first.", unit="USD", minimum=0, maximum=1e12)
    ] = 10_000.0
    margin_call_percent: Annotated[
        float,
        Setting(
            doc="Margin level at which the account is in margin call.", minimum=0, maximum=1_000
        ),
    ] = 100.0
    stop_out_percent: Annotated[
        float,
        Setting(
            doc="Margin level at which the broker closes positions by itself.",
            minimum=0,
            maximum=1_000,
        ),
    ] = 50.0
    execution: Annotated[
        str,
        Setting(
            doc="How market orders of all symbols are executed; `usual` is as the class of each "
            "instrument is: indices instantly, stocks and futures on an exchange, others at market.",
            choices=(AS_USUAL, "request", "instant", "market", "exchange"),
        ),
    ] = AS_USUAL
    filling: Annotated[
        tuple[str, ...],
        Setting(
            doc="Filling modes in the mask of all symbols; without any, as the class of each "
            "instrument has them.",
            choices=("fok", "ioc", "boc"),
        ),
    ] = ()
    offered_lots: Annotated[
        float | None,
        Setting(
            doc="Volume that each tick offers at its price, so that larger orders are filled in "
            "part or not; without it, any volume, and a depth for stocks and futures.",
            unit="lots",
            minimum=0.01,
            maximum=1e6,
        ),
    ] = None
    requotes_per_mille: Annotated[
        int,
        Setting(
            doc="How many of 1,000 orders under instant execution are answered with a requote "
            "although the price would do; which ones follows from the seed.",
            minimum=0,
            maximum=1_000,
        ),
    ] = 0
    slippage_points: Annotated[
        int,
        Setting(
            doc="How far market execution may miss the quote, either way; how far it does follows "
            "from the seed.",
            unit="points",
            minimum=0,
            maximum=POINTS_MAX,
        ),
    ] = 0
    stops_level_points: Annotated[
        int,
        Setting(
            doc="How near to the price stops and waiting orders may be.",
            unit="points",
            minimum=0,
            maximum=POINTS_MAX,
        ),
    ] = 0
    freeze_level_points: Annotated[
        int,
        Setting(
            doc="How near to its price an order or a stop can no longer be changed.",
            unit="points",
            minimum=0,
            maximum=POINTS_MAX,
        ),
    ] = 0
    swap_long_points: Annotated[
        float | None,
        Setting(
            doc="What a night costs (negative) or earns who holds a lot bought; without it, as the "
            "class of each instrument has it.",
            unit="points",
            minimum=-POINTS_MAX,
            maximum=POINTS_MAX,
        ),
    ] = None
    swap_short_points: Annotated[
        float | None,
        Setting(
            doc="The same for a lot sold. With one of both set, the other is 0.",
            unit="points",
            minimum=-POINTS_MAX,
            maximum=POINTS_MAX,
        ),
    ] = None
    history_delay_ms: Annotated[
        int,
        Setting(
            doc="How long after it was made a deal appears in history.",
            unit="ms",
            minimum=0,
            maximum=3_600_000,
        ),
    ] = 0
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

    def problems(self) -> Iterable[str]:
        """A stop-out comes after the margin call."""
        if self.stop_out_percent > self.margin_call_percent:
            yield "stop_out_percent must not be above margin_call_percent"
