"""What can be wrong with a terminal."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

TERMINAL_UNAVAILABLE: Final = ErrorSpec(
    code="TERMINAL_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The terminal does not answer: {text} ({number}).",
    why="The terminal is not running, not logged in, or still starting.",
    remedy="Start the terminal and log in; the client connects again by itself.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
TERMINAL_SYMBOL_UNKNOWN: Final = ErrorSpec(
    code="TERMINAL_SYMBOL_UNKNOWN",
    category=Category.DENIED,
    message="The broker does not know the symbol {symbol}.",
    why="The name is spelt differently at this broker; suffixes and case count.",
    remedy="Compare with Market Watch in the terminal and correct `connector.symbols`.",
    http_status=404,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
TERMINAL_NOT_AVAILABLE: Final = ErrorSpec(
    code="TERMINAL_NOT_AVAILABLE",
    category=Category.DENIED,
    message="The package MetaTrader5 is not installed, or does not exist for {platform}.",
    why="MetaQuotes publishes it for Windows only.",
    remedy="Run the client on Windows or under Wine, or use `--terminal sim`.",
    http_status=501,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
TERMINAL_REPLACED: Final = ErrorSpec(
    code="TERMINAL_REPLACED",
    category=Category.DENIED,
    message="`import MetaTrader5` gives the simulated terminal here, not a real one.",
    why="The simulated terminal's folder is on PYTHONPATH.",
    remedy="Take what `aitrading-client sim path` prints from PYTHONPATH, or use `--terminal sim`.",
    http_status=501,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
RECORDING_INVALID: Final = ErrorSpec(
    code="TERMINAL_RECORDING_INVALID",
    category=Category.DENIED,
    message="The recorded quotes in {file} cannot be replayed: {problem}.",
    why="A recording is `milliseconds_of_day,bid,ask` a line, one day a file.",
    remedy="Compare the file with docs/how-to/test-against-the-twin.md, or leave `replay` empty.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
FAULT_SCRIPT_INVALID: Final = ErrorSpec(
    code="TERMINAL_FAULT_SCRIPT_INVALID",
    category=Category.DENIED,
    message="The script of faults is not understood: {problem}.",
    why="A script is TOML with one [[fault]] a rule; a name, a number or a combination is wrong.",
    remedy="Compare it with docs/how-to/test-against-the-twin.md.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SIMULATED_SYMBOL_UNKNOWN: Final = ErrorSpec(
    code="TERMINAL_SIMULATED_SYMBOL_UNKNOWN",
    category=Category.DENIED,
    message="The simulated broker cannot list {symbol}; it knows {known}.",
    why="`terminal_sim.symbols` names a symbol that is not in the catalogue, or `shown` one that is not listed.",
    remedy="Name symbols without a suffix, or replay a recording of that symbol.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SIMULATED_ACCOUNTS_INVALID: Final = ErrorSpec(
    code="TERMINAL_SIMULATED_ACCOUNTS_INVALID",
    category=Category.DENIED,
    message="The accounts in {file} cannot be used: {problem}.",
    why="The file of `terminal_sim.accounts` is TOML with one [[account]] an account; a name or a value is wrong, or others may read it.",
    remedy="Compare it with docs/how-to/test-against-the-twin.md; only its owner may read it.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SIMULATED_TERM_WITHOUT_EFFECT: Final = ErrorSpec(
    code="TERMINAL_SIMULATED_TERM_WITHOUT_EFFECT",
    category=Category.DENIED,
    message="terminal_sim.{setting} would do nothing: no symbol of this broker has {execution} execution.",
    why="A requote needs a dealer who names the price, slippage an order that leaves it open.",
    remedy="Set terminal_sim.execution to it, or list a symbol that is executed so.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
TWIN_PROCESS_UNREACHABLE: Final = ErrorSpec(
    code="TERMINAL_PROCESS_UNREACHABLE",
    category=Category.RETRYABLE,
    message="No simulated terminal answers as {file} says: {problem}.",
    why="`aitrading-client sim serve` is not running, or it wrote another file.",
    remedy="Start it with the same `--address-file`.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SIMULATION_OPTION_INVALID: Final = ErrorSpec(
    code="TERMINAL_SIMULATION_OPTION_INVALID",
    category=Category.DENIED,
    message="{option!r} is not NAME=VALUE.",
    why="`--set` takes the name of a setting of [terminal_sim] and its value.",
    remedy="For example: --set seed=7 --set ticks_per_s=100",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
