"""What can go wrong between a service and PostgreSQL, as typed errors without row data."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

DATABASE_POOL_EXHAUSTED: Final = ErrorSpec(
    code="DATABASE_POOL_EXHAUSTED",
    category=Category.RETRYABLE,
    message="No database connection became free within {waited_s} s; all {size} are in use.",
    why="More requests need the database at once than it may serve, or some of them are slow.",
    remedy="Try again shortly; if it repeats, look at slow statements before raising the pool.",
    http_status=503,
    severity=Severity.WARNING,
)
DATABASE_SERIALISATION_FAILURE: Final = ErrorSpec(
    code="DATABASE_SERIALISATION_FAILURE",
    category=Category.RETRYABLE,
    message="The transaction met a concurrent one and was rolled back.",
    why="Two transactions changed the same facts; only one of them may win.",
    remedy="Repeat the whole transaction.",
    http_status=503,
    severity=Severity.INFO,
)
DATABASE_DEADLOCK: Final = ErrorSpec(
    code="DATABASE_DEADLOCK",
    category=Category.RETRYABLE,
    message="The transaction and another one waited for each other; this one was rolled back.",
    why="Two transactions lock the same rows in a different order.",
    remedy="Repeat the whole transaction; report it if it happens often.",
    http_status=503,
    severity=Severity.WARNING,
)
DATABASE_STATEMENT_TIMEOUT: Final = ErrorSpec(
    code="DATABASE_STATEMENT_TIMEOUT",
    category=Category.RETRYABLE,
    message="A statement ran longer than the service allows and was cancelled.",
    why="The database is overloaded, or the statement has to look at too much.",
    remedy="Try again with a narrower question; look at the database's load.",
    http_status=504,
    severity=Severity.WARNING,
)
DATABASE_LOCK_TIMEOUT: Final = ErrorSpec(
    code="DATABASE_LOCK_TIMEOUT",
    category=Category.RETRYABLE,
    message="A lock was not granted in time.",
    why="Another transaction holds it: a long change, a migration or a second instance.",
    remedy="Try again; find the holder in pg_stat_activity if it stays.",
    http_status=503,
    severity=Severity.WARNING,
)
DATABASE_CONNECTION_LOST: Final = ErrorSpec(
    code="DATABASE_CONNECTION_LOST",
    category=Category.RETRYABLE,
    message="The database is not reachable.",
    why="PostgreSQL is stopped, restarting or cut off.",
    remedy="Nothing was changed; try again. `aitrading status` tells how the engine is.",
    http_status=503,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_NO_PRIMARY: Final = ErrorSpec(
    code="DATABASE_NO_PRIMARY",
    category=Category.RETRYABLE,
    message="None of the PostgreSQL servers may be written to: {seen}.",
    why="The primary is away and no replica was promoted, or only an outdated primary answers.",
    remedy="Nothing was changed. Promote a replica (runbook `promote-a-replica`); every service "
    "finds it by itself.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_PRIMARY_OUTDATED: Final = ErrorSpec(
    code="DATABASE_PRIMARY_OUTDATED",
    category=Category.RETRYABLE,
    message="The PostgreSQL server {server} believes to be the primary, but a newer one exists: it "
    "is on timeline {timeline} of cluster {cluster}, and timeline {newest} was seen.",
    why="A replica was promoted and this old primary is still running. What is written to it would "
    "be lost.",
    remedy="Nothing was changed. Stop the old primary (runbook `promote-a-replica`) and let the "
    "promoted one be reached. Only if this server was restored on purpose to a state before the "
    "promotion: stop the platform, then `aitrading primary accept CLUSTER TIMELINE` with these two "
    "numbers.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_CLUSTER_FOREIGN: Final = ErrorSpec(
    code="DATABASE_CLUSTER_FOREIGN",
    category=Category.RETRYABLE,
    message="The PostgreSQL server {server} is another database: it is on timeline {timeline} of "
    "cluster {cluster}, and this installation has used cluster {known}.",
    why="The address leads to a server that was made anew, or to somebody else's.",
    remedy="Nothing was changed. Correct POSTGRES_URL. If the data was restored into this new "
    "server on purpose: stop the platform, then `aitrading primary accept CLUSTER TIMELINE` with "
    "the two numbers of this server.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_SERVER_UNTRUSTED: Final = ErrorSpec(
    code="DATABASE_SERVER_UNTRUSTED",
    category=Category.RETRYABLE,
    message="A PostgreSQL server did not prove who it is: {problem}.",
    why="Its certificate is signed by somebody else, has another name in it, or is over. Nothing is "
    "sent to such a server, and no other way to it is tried.",
    remedy="Nothing was changed. Give the server a certificate for the name in POSTGRES_URL, signed "
    "by an authority in `sslrootcert`. If nobody changed it: find out who answers there.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
PRIMARY_RECORD_UNUSABLE: Final = ErrorSpec(
    code="PRIMARY_RECORD_UNUSABLE",
    category=Category.FATAL,
    message="The record of the newest primary at {path} cannot be used: {problem}.",
    why="The file was edited, or the disk is full or damaged. Without it an old primary could not "
    "be told from the present one, so none is written to.",
    remedy="Make room on the disk. If the file is damaged: look which server is the primary, stop "
    "the platform, then `aitrading primary accept CLUSTER TIMELINE`.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_READ_ONLY: Final = ErrorSpec(
    code="DATABASE_READ_ONLY",
    category=Category.FATAL,
    message="A change was attempted in a transaction that only reads.",
    why="The code asked for a transaction that a replica may serve, and then wanted to write.",
    remedy="Report it: this is a mistake in the program.",
)
DATABASE_DONE_BEFORE: Final = ErrorSpec(
    code="DATABASE_DONE_BEFORE",
    category=Category.DENIED,
    message="This change was committed before.",
    why="An earlier run left its receipt: its answer got lost, its effect did not.",
    remedy="Read what is stored now instead of repeating the change.",
    http_status=409,
    severity=Severity.INFO,
)
DATABASE_COMMIT_UNKNOWN: Final = ErrorSpec(
    code="DATABASE_COMMIT_UNKNOWN",
    category=Category.RETRYABLE,
    message="The connection was lost during COMMIT: whether the change happened is not known.",
    why="PostgreSQL went away between receiving the commit and answering it.",
    remedy="Look whether the change is there before repeating it, or repeat an idempotent one.",
    http_status=503,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_ALREADY_EXISTS: Final = ErrorSpec(
    code="DATABASE_ALREADY_EXISTS",
    category=Category.DENIED,
    message="Something with the same key exists already ({constraint}).",
    why="The key must be unique within the tenant.",
    remedy="Use another key, or read the existing entry.",
    http_status=409,
    severity=Severity.INFO,
)
DATABASE_CONSTRAINT_VIOLATED: Final = ErrorSpec(
    code="DATABASE_CONSTRAINT_VIOLATED",
    category=Category.DENIED,
    message="The database refuses the value ({constraint}).",
    why="It points to something that does not exist, or is outside the permitted range.",
    remedy="Correct the value.",
    http_status=409,
    severity=Severity.WARNING,
)
DATABASE_VALUE_REFUSED: Final = ErrorSpec(
    code="DATABASE_VALUE_REFUSED",
    category=Category.DENIED,
    message="The database cannot take a value (SQLSTATE {sqlstate}).",
    why="A text has a character that it does not store, or a number or a time is too large for it.",
    remedy="Correct the value. If nothing is wrong with it, report it.",
    http_status=422,
    severity=Severity.WARNING,
)
DATABASE_NOT_PERMITTED: Final = ErrorSpec(
    code="DATABASE_NOT_PERMITTED",
    category=Category.DENIED,
    message="The database role of this service may not do that.",
    why="The row belongs to another tenant, or the table to another service.",
    remedy="If this was a legitimate request, report it: the service asked for too much.",
    http_status=403,
)
DATABASE_OUT_OF_RESOURCES: Final = ErrorSpec(
    code="DATABASE_OUT_OF_RESOURCES",
    category=Category.RETRYABLE,
    message="The database has run out of a resource (SQLSTATE {sqlstate}).",
    why="Its disk is full, its memory is used up, or it has too many connections.",
    remedy="Free disk space or memory on the database's machine, then try again.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)
DATABASE_TRANSACTION_ABORTED: Final = ErrorSpec(
    code="DATABASE_TRANSACTION_ABORTED",
    category=Category.FATAL,
    message="The transaction was rolled back at its end: a failed statement had been ignored.",
    why="The code went on after an error inside a transaction.",
    remedy="Report it: the error of the failed statement must end the transaction.",
)
DATABASE_REJECTED: Final = ErrorSpec(
    code="DATABASE_REJECTED",
    category=Category.FATAL,
    message="The database rejected a statement (SQLSTATE {sqlstate}).",
    why="Program and database schema do not fit together.",
    remedy="Check that all migrations ran (`aitrading doctor --databases`), then report it.",
)
DATABASE_CLOSED: Final = ErrorSpec(
    code="DATABASE_CLOSED",
    category=Category.FATAL,
    message="{what} is used outside its lifetime.",
    why="The pool is not started, or a transaction was kept beyond its block.",
    remedy="Report it: this is a mistake in the program.",
)
