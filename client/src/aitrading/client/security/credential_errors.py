"""What the store of the broker login refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

CREDENTIALS_MISSING: Final = ErrorSpec(
    code="CREDENTIALS_MISSING",
    category=Category.DENIED,
    message="No broker login is stored in {home}.",
    why="The terminal owns its login unless one is stored here.",
    remedy="Nothing, if the terminal logs in by itself. Otherwise `aitrading-client credentials "
    "set`, or set `terminal_login.owner` to `terminal`.",
    http_status=404,
    severity=Severity.INFO,
)
CREDENTIALS_EXIST: Final = ErrorSpec(
    code="CREDENTIALS_EXIST",
    category=Category.DENIED,
    message="A broker login is stored in {home} already.",
    why="Storing another one would destroy it.",
    remedy="`aitrading-client credentials rotate` for a new password of the same account, or "
    "`credentials forget` first.",
    http_status=409,
    severity=Severity.INFO,
)
CREDENTIALS_DAMAGED: Final = ErrorSpec(
    code="CREDENTIALS_DAMAGED",
    category=Category.DENIED,
    message="Credential integrity compromised: the stored broker login cannot be used ({reason}).",
    why="The file was changed, cut, or exchanged for another one after it was sealed.",
    remedy="`aitrading-client credentials forget`, then `credentials set`. If nobody touched the "
    "file, change the password at the broker as well.",
    http_status=409,
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
CREDENTIALS_OF_ANOTHER_DEVICE: Final = ErrorSpec(
    code="CREDENTIALS_OF_ANOTHER_DEVICE",
    category=Category.DENIED,
    message="The stored broker login is of another device.",
    why="The file was copied here, or this client was enrolled again since.",
    remedy="`aitrading-client credentials forget`, then `credentials set`.",
    http_status=409,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)
CREDENTIALS_LEASE_MISSING: Final = ErrorSpec(
    code="CREDENTIALS_LEASE_MISSING",
    category=Category.RETRYABLE,
    message="The stored broker login stays closed: the server's share of its key could not be "
    "fetched ({cause}).",
    why="A start needs the server once; the share is never on this disk.",
    remedy="Nothing if the server restarts: the client asks again. Otherwise run "
    "`aitrading-client doctor`, or log in to the terminal by hand.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)
CREDENTIALS_LEASE_ENDED: Final = ErrorSpec(
    code="CREDENTIALS_LEASE_ENDED",
    category=Category.RETRYABLE,
    message="The stored broker login is closed: its lease of 24 hours ended at {ended}.",
    why="The server could not be reached for a day, or refused to renew it.",
    remedy="Run `aitrading-client doctor`; the login opens again when the server answers.",
    http_status=503,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
CREDENTIALS_UNPROTECTED: Final = ErrorSpec(
    code="CREDENTIALS_UNPROTECTED",
    category=Category.DENIED,
    message="The protection `{protection}` cannot be used here: {reason}.",
    why="The system lacks it, or it is locked. Nothing weaker is taken instead.",
    remedy="Make it available, or choose another one by name: `credentials set --protect`.",
    http_status=501,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)
CREDENTIALS_KEY_REFUSED: Final = ErrorSpec(
    code="CREDENTIALS_KEY_REFUSED",
    category=Category.DENIED,
    message="The protection `{protection}` does not open the stored broker login: {reason}.",
    why="The passphrase is wrong, another user runs the client, or the system lost its key (a "
    "password reset by an administrator does that on Windows).",
    remedy="Run it as the user who stored the login, or store it again.",
    http_status=403,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)
CREDENTIALS_OTHER_ACCOUNT: Final = ErrorSpec(
    code="CREDENTIALS_OTHER_ACCOUNT",
    category=Category.DENIED,
    message="The terminal logged in to another account than the stored one.",
    why="It ignored the login it was given, or the file belongs to another terminal.",
    remedy="Look at the terminal's own login; store the right one with `credentials set`.",
    http_status=409,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
CREDENTIALS_INVALID: Final = ErrorSpec(
    code="CREDENTIALS_INVALID",
    category=Category.DENIED,
    message="The broker login cannot be stored: {reason}.",
    why="A login is a number, a server's name has up to 128 characters, a password up to 256.",
    remedy="Correct it and try again.",
    http_status=422,
    severity=Severity.INFO,
)
CREDENTIALS_IN_CLEAR: Final = ErrorSpec(
    code="CREDENTIALS_IN_CLEAR",
    category=Category.DENIED,
    message="The broker's password stands in the clear: {place}.",
    why="Every program of this user, every copy of the settings and every report of a crash could "
    "show it, so the client does not start with it.",
    remedy="Take it away there, and change it at the broker if others may have read it. Best log in "
    "once in the terminal and let it save the login; or store it sealed: `aitrading-client "
    "credentials set` asks for it, or reads it with `--password-stdin`.",
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
