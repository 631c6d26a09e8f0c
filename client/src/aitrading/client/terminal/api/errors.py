"""What `last_error()` says: a code of the package and the text it has for it."""

from typing import Final

from aitrading.client.terminal.api import constants as c

ErrorOfTerminal = tuple[int, str]

SUCCESS: Final[ErrorOfTerminal] = (c.RES_S_OK, "Success")
CALL_FAILED: Final[ErrorOfTerminal] = (c.RES_E_FAIL, "Terminal: Call failed")
INVALID_PARAMS: Final[ErrorOfTerminal] = (c.RES_E_INVALID_PARAMS, "Terminal: Invalid params")
INVALID_ARGUMENTS: Final[ErrorOfTerminal] = (c.RES_E_INVALID_PARAMS, "Invalid arguments")
INVALID_ARGUMENT_COUNT: Final[ErrorOfTerminal] = (
    c.RES_E_INVALID_PARAMS,
    "Invalid number of arguments",
)
UNNAMED_NOT_ALLOWED: Final[ErrorOfTerminal] = (
    c.RES_E_INVALID_PARAMS,
    "Unnamed arguments not allowed",
)
OUT_OF_MEMORY: Final[ErrorOfTerminal] = (c.RES_E_NO_MEMORY, "Terminal: Out of memory")
NOT_FOUND: Final[ErrorOfTerminal] = (c.RES_E_NOT_FOUND, "Terminal: Not found")
INCOMPATIBLE: Final[ErrorOfTerminal] = (
    c.RES_E_INVALID_VERSION,
    (
        "Terminal: Incompatible versions, please install the latest version of Terminal and Python"
        " module"
    ),
)
AUTH_FAILED: Final[ErrorOfTerminal] = (c.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
UNSUPPORTED: Final[ErrorOfTerminal] = (c.RES_E_UNSUPPORTED, "Terminal: Unsupported function")
AUTO_TRADING_DISABLED: Final[ErrorOfTerminal] = (
    c.RES_E_AUTO_TRADING_DISABLED,
    "Auto-Trading using Python API disabled in Terminal",
)
IPC_FAILED: Final[ErrorOfTerminal] = (c.RES_E_INTERNAL_FAIL, "IPC call failed")
IPC_SEND_FAILED: Final[ErrorOfTerminal] = (c.RES_E_INTERNAL_FAIL_SEND, "IPC send failed")
IPC_RECEIVE_FAILED: Final[ErrorOfTerminal] = (c.RES_E_INTERNAL_FAIL_RECEIVE, "IPC recv failed")
NO_CONNECTION: Final[ErrorOfTerminal] = (c.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
IPC_TIMEOUT: Final[ErrorOfTerminal] = (c.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")

_ORDINALS: Final = ("1st", "2nd", "3rd")


def initialize_failed(detail: str) -> ErrorOfTerminal:
    """The terminal could not be started or found; the detail says how."""
    return (c.RES_E_INTERNAL_FAIL_INIT, f"IPC initialize failed, {detail}")


def invalid_argument(name: str) -> ErrorOfTerminal:
    """A named argument, or a key of a request, has the wrong type."""
    return (c.RES_E_INVALID_PARAMS, f'Invalid "{name}" argument')


def invalid_unnamed(position: int) -> ErrorOfTerminal:
    """The argument at that place, counted from 0, has the wrong type; only three have a text."""
    if position < len(_ORDINALS):
        return (c.RES_E_INVALID_PARAMS, f"Invalid {_ORDINALS[position]} unnamed argument")
    return INVALID_ARGUMENTS
