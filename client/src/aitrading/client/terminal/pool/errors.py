"""What can go wrong between the client and the workers of its terminal."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

CALL_NOT_SENT: Final = ErrorSpec(
    code="TERMINAL_CALL_NOT_SENT",
    category=Category.RETRYABLE,
    message="{call} was not executed: {reason}.",
    why="No worker could take the question in time; nothing of it reached a terminal.",
    remedy="Ask again. If it stays so, look at `aitrading-client status`.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
CALL_LOST: Final = ErrorSpec(
    code="TERMINAL_CALL_LOST",
    category=Category.RETRYABLE,
    message="{call} had no answer: {reason}.",
    why="The worker that asked the terminal ended, or was ended because the call did not return.",
    remedy="Nothing to do: the worker is replaced, and what only reads may be asked again.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
OUTCOME_UNKNOWN: Final = ErrorSpec(
    code="TERMINAL_OUTCOME_UNKNOWN",
    category=Category.RETRYABLE,
    message="The outcome of {call} is unknown: {reason}.",
    why="The request was handed to the terminal and no answer came back; it may have been executed.",
    remedy="Do not send it again. Compare orders, positions and history of the account first.",
    http_status=504,
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
WORKER_LOST: Final = ErrorSpec(
    code="TERMINAL_WORKER_LOST",
    category=Category.RETRYABLE,
    message="The worker {pid} of the terminal ended with {code}.",
    why="It was killed, or the terminal's library took the process down.",
    remedy="Nothing to do: it is replaced. What it printed last is in the client's log.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
CALL_OVERDUE: Final = ErrorSpec(
    code="TERMINAL_CALL_OVERDUE",
    category=Category.RETRYABLE,
    message="{call} did not return within {timeout_s} s; the worker {pid} was ended.",
    why="The terminal, or the library that speaks with it, is stuck.",
    remedy="If it happens again, restart the terminal.",
    http_status=504,
    severity=Severity.ERROR,
    impact=Impact.MARKET_DATA,
)
ACCOUNT_SWITCHED: Final = ErrorSpec(
    code="TERMINAL_ACCOUNT_SWITCHED",
    category=Category.RETRYABLE,
    message="The terminal is logged in to another account than before, or to none.",
    why="Somebody switched the account in the terminal's window.",
    remedy="Nothing to do if that was meant: the client connects anew and collects for the account "
    "it finds. Otherwise log the terminal in to the right account.",
    http_status=409,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)
ACCOUNT_NOT_NAMED: Final = ErrorSpec(
    code="TERMINAL_ACCOUNT_NOT_NAMED",
    category=Category.DENIED,
    message="The terminal is logged in at {server}, but not to the account that the settings name.",
    why="`terminal_login.login` (MT5_LOGIN) or `terminal_login.server` (MT5_SERVER) names another one.",
    remedy="Log the terminal in to that account and let it save the login, or correct the settings.",
    http_status=409,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
OTHER_ACCOUNT: Final = ErrorSpec(
    code="TERMINAL_OTHER_ACCOUNT",
    category=Category.DENIED,
    message="A worker's terminal is logged in to another account than the first one.",
    why="All terminals of one client belong to one account.",
    remedy="Log it in to the same account, or remove its path from `terminal_pool.paths`.",
    http_status=409,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
