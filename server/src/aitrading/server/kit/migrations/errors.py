"""What the migration runner refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

MIGRATION_FILE_INVALID: Final = ErrorSpec(
    code="MIGRATION_FILE_INVALID",
    category=Category.FATAL,
    message="The migration file {file} is not valid: {problem}.",
    why="The folder of migrations holds a file that is not in the format.",
    remedy="Name it NNNN_what_it_does.sql or NNNN_what_it_does.post.sql, or remove it.",
    severity=Severity.CRITICAL,
)
MIGRATION_CHANGED: Final = ErrorSpec(
    code="MIGRATION_CHANGED",
    category=Category.FATAL,
    message="The migration {file} was applied before, with another content.",
    why="An applied migration was edited instead of being followed by a new one.",
    remedy="Restore the file of the release that applied it, and put the change into a new file.",
    severity=Severity.CRITICAL,
)
MIGRATION_UNKNOWN: Final = ErrorSpec(
    code="MIGRATION_UNKNOWN",
    category=Category.FATAL,
    message="The database has the migration {name}, which this release does not know.",
    why="A newer release used this database before.",
    remedy="Start the newer release, or restore a backup made by this one.",
    severity=Severity.CRITICAL,
)
MIGRATION_FAILED: Final = ErrorSpec(
    code="MIGRATION_FAILED",
    category=Category.FATAL,
    message="The migration {file} failed and was undone: {reason} (SQLSTATE {sqlstate}).",
    why="The statement does not fit the present state of the database.",
    remedy="Nothing of this file was kept. Correct its cause and start again.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
MIGRATION_LOCKED: Final = ErrorSpec(
    code="MIGRATION_LOCKED",
    category=Category.RETRYABLE,
    message="{what} was locked by somebody else for {waited_ms} ms.",
    why="Another process migrates the same database, or a long transaction uses the table.",
    remedy="Wait for it to finish, or end it; then start again. Nothing was changed.",
    http_status=503,
)
MIGRATION_STEP_UNKNOWN: Final = ErrorSpec(
    code="MIGRATION_STEP_UNKNOWN",
    category=Category.FATAL,
    message="The migration {file} needs the step `{step}`, which this program does not have.",
    why="The file belongs to another release than the program.",
    remedy="Install the release again, whole. Nothing was changed.",
    severity=Severity.CRITICAL,
)
