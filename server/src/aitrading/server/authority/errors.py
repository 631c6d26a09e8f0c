"""What can go wrong with the keys of an installation."""

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

KEY_PROVIDER_REFUSED = ErrorSpec(
    code="KEY_PROVIDER_REFUSED",
    category=Category.FATAL,
    message="Keys in plain files are for development; AITRADING_ENV is `{environment}`.",
    why="Whoever can read the disk of this machine could copy every key.",
    remedy="Use a production key provider, or unset AITRADING_ENV on a development machine.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
KEY_MISSING = ErrorSpec(
    code="KEY_MISSING",
    category=Category.FATAL,
    message="The key `{name}` does not exist in {folder}.",
    why="The installation was not initialised, or the file was deleted.",
    remedy="Run `aitrading up` to initialise a new home, or restore `keys/` from its backup.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
KEY_EXPOSED = ErrorSpec(
    code="KEY_EXPOSED",
    category=Category.FATAL,
    message="{path} is not protected: expected a plain file of our own with mode 0600, {found}.",
    why="Other users of this machine may have read or replaced the key.",
    remedy="Find out who could read it, replace the key if in doubt, then `chmod 600` it.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
KEY_EXISTS = ErrorSpec(
    code="KEY_EXISTS",
    category=Category.FATAL,
    message="The key `{name}` exists already and is never overwritten.",
    why="Two processes initialised the same home, or a key was stored twice.",
    remedy="Keep the existing key; remove it by hand only when it is truly replaced.",
    severity=Severity.ERROR,
)
KEY_NOT_STORED = ErrorSpec(
    code="KEY_NOT_STORED",
    category=Category.RETRYABLE,
    message="The new key `{name}` could not be written to {folder}: {reason}.",
    why="The disk is full or read-only, or the folder is not ours.",
    remedy="Make room or give the folder back, then try again. Nothing was changed.",
    http_status=503,
    severity=Severity.ERROR,
)
TOKEN_KEYS_DAMAGED = ErrorSpec(
    code="TOKEN_KEYS_DAMAGED",
    category=Category.FATAL,
    message="{path} does not say which key signs access tokens: {problem}.",
    why="The file was changed by hand, or the disk lost what it had confirmed.",
    remedy="Restore it from a backup. Without one: remove the file, then `aitrading up` and "
    "`aitrading keys rotate-tokens --leaked`, which ends every token of an earlier key; everybody "
    "logs in again.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
AUTHORITY_MISMATCH = ErrorSpec(
    code="AUTHORITY_MISMATCH",
    category=Category.FATAL,
    message="The {authority} authority's key and certificate do not belong together.",
    why="One of the two files in `keys/` was deleted or replaced.",
    remedy="Restore both from the same backup; a new authority means enrolling every device again.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
