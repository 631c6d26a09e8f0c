"""What can keep a backup from being made, read or put back; nothing is ever half restored."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

BACKUP_RUNNING: Final = ErrorSpec(
    code="BACKUP_RUNNING",
    category=Category.RETRYABLE,
    message="Another backup of {home} is being made.",
    why="One at a time: two would compete for the disk and for the frozen parts of ClickHouse.",
    remedy="Wait for it; `aitrading backup list` shows it when it is done.",
    severity=Severity.WARNING,
)
BACKUP_ELSEWHERE: Final = ErrorSpec(
    code="BACKUP_ELSEWHERE",
    category=Category.DENIED,
    message="{store} is a server given by URL; it is not part of a backup made here.",
    why="A backup without it would look whole and could not be restored.",
    remedy="Back that server up with its own tools, together with AITRADING_HOME while the platform is down.",
    severity=Severity.WARNING,
)
BACKUP_NOT_WRITTEN: Final = ErrorSpec(
    code="BACKUP_NOT_WRITTEN",
    category=Category.RETRYABLE,
    message="The backup {path} was not made: {reason}.",
    why="A disk was full or failed, a file exists already, or a part could not be read.",
    remedy="Correct the reason and repeat. Nothing half-made was left under that name.",
    severity=Severity.ERROR,
    impact=Impact.EVIDENCE,
)
BACKUP_UNREADABLE: Final = ErrorSpec(
    code="BACKUP_UNREADABLE",
    category=Category.FATAL,
    message="{path} is not a backup this release can read: {reason}.",
    why="It is another kind of file, its first bytes are damaged, or a newer release wrote it.",
    remedy="Check the name; for a newer format install the release that wrote it.",
    severity=Severity.ERROR,
)
BACKUP_KEY_WRONG: Final = ErrorSpec(
    code="BACKUP_KEY_WRONG",
    category=Category.DENIED,
    message="{path} does not open with this {kind}.",
    why="It is the wrong one, or the part of the file that holds the key is damaged.",
    remedy="Try the passphrase or recovery key that was in use when the backup was made.",
    severity=Severity.WARNING,
)
BACKUP_DAMAGED: Final = ErrorSpec(
    code="BACKUP_DAMAGED",
    category=Category.FATAL,
    message="{path} is damaged: {reason}.",
    why="It was cut, changed, or put together from several files. Nothing was restored from it.",
    remedy="Use another copy of this backup, or an older backup.",
    severity=Severity.CRITICAL,
)
BACKUP_TOO_NEW: Final = ErrorSpec(
    code="BACKUP_TOO_NEW",
    category=Category.DENIED,
    message="The backup of release {release} has the migration {migration}, which this release does not know.",
    why="The code is older than the data, or the migration was changed.",
    remedy="Install release {release} or a newer one, then restore again.",
    severity=Severity.ERROR,
)
RESTORE_HOME_NOT_EMPTY: Final = ErrorSpec(
    code="RESTORE_HOME_NOT_EMPTY",
    category=Category.DENIED,
    message="{home} is not empty.",
    why="A restore never mixes with, or replaces, what is there.",
    remedy="Restore into a folder that does not exist yet, then start with `aitrading up --home` there.",
    severity=Severity.WARNING,
)
RESTORE_RUNNING: Final = ErrorSpec(
    code="RESTORE_RUNNING",
    category=Category.RETRYABLE,
    message="Another restore into {home} is under way.",
    why="Two restores into one home would destroy each other's work.",
    remedy="Wait for it.",
    severity=Severity.WARNING,
)
RESTORE_FAILED: Final = ErrorSpec(
    code="RESTORE_FAILED",
    category=Category.FATAL,
    message="{home} was not restored while {step}: {reason}.",
    why="An engine refused what the backup holds, or the disk is full.",
    remedy="Read the reason. Nothing was left in that home; correct it and repeat.",
    severity=Severity.CRITICAL,
    impact=Impact.EVIDENCE,
)
SECRET_UNUSABLE: Final = ErrorSpec(
    code="SECRET_UNUSABLE",
    category=Category.DENIED,
    message="There is no usable secret: {reason}.",
    why="A backup is always encrypted: with a passphrase, to a recovery key, or both.",
    remedy="Give --passphrase-file, --passphrase-fd or --recovery-key; a secret is never an argument.",
    severity=Severity.WARNING,
)
