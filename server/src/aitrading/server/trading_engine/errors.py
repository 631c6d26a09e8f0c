"""What the trading engine refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

TRADING_NOT_AVAILABLE: Final = ErrorSpec(
    code="TRADING_NOT_AVAILABLE",
    category=Category.DENIED,
    message="Trading is {state}: the order was not accepted, and nothing was sent to a broker.",
    why="This release has no order engine. Trading stays HALTED for every account.",
    remedy="Manage positions in the terminal; quotes, feeds and history keep working here.",
    http_status=409,
    severity=Severity.INFO,
    impact=Impact.NEW_EXPOSURE,
)
DEVICE_BARRED: Final = ErrorSpec(
    code="DEVICE_BARRED",
    category=Category.DENIED,
    message="Device {device} may open nothing new ({reason}): the order was refused.",
    why="The program beside the terminal is not the released one; somebody changed its files.",
    remedy="Install the client again from a trusted copy, find out who changed it, then `aitrading "
    "device allow-exposure`. Closing, reducing and the kill switch work all the time.",
    http_status=403,
    severity=Severity.WARNING,
    impact=Impact.NEW_EXPOSURE,
)
DEVICE_UNKNOWN: Final = ErrorSpec(
    code="DEVICE_UNKNOWN",
    category=Category.RETRYABLE,
    message="Nobody can tell whether the device may open anything new ({reason}): the order was "
    "refused.",
    why="New exposure needs an answer of the database, and there is none.",
    remedy="Try again in a moment; the kill switch, cancelling and reducing do not ask.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.NEW_EXPOSURE,
)
KILL_RELEASE_NOT_AVAILABLE: Final = ErrorSpec(
    code="KILL_RELEASE_NOT_AVAILABLE",
    category=Category.DENIED,
    message="The kill switch was not released: releasing needs a second person and a step-up.",
    why="This release can engage the kill switch but has no procedure to release it.",
    remedy="Leave it engaged. It holds across restarts and costs nothing while trading is HALTED.",
    http_status=409,
    severity=Severity.INFO,
)
KILL_SWITCH_FILE_DAMAGED: Final = ErrorSpec(
    code="KILL_SWITCH_FILE_DAMAGED",
    category=Category.FATAL,
    message="The record of engaged kill switches at {path} cannot be read: {problem}.",
    why="The file was edited or the disk is damaged. It is never treated as 'nothing engaged'.",
    remedy="Restore it from a backup, or move it aside after deciding that every tenant is HALTED.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_BUS_LOST: Final = ErrorSpec(
    code="ENGINE_BUS_LOST",
    category=Category.RETRYABLE,
    message="The trading engine lost the event bus and halted trading.",
    why="Without the bus no feed state arrives, so a dead feed could look alive.",
    remedy="Nothing by hand: trading leaves this halt when the bus is back and feeds are known.",
    http_status=503,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
