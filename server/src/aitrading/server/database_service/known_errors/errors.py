"""What the room of known errors refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

ERROR_NOT_SEEN: Final = ErrorSpec(
    code="ERROR_NOT_SEEN",
    category=Category.DENIED,
    message="No error with {wanted} was seen here.",
    why="It never happened to your organisation, was forgotten, or the fingerprint is misspelt.",
    remedy="`aitrading errors recent` lists what was seen.",
    http_status=404,
    severity=Severity.DEBUG,
)
RESOLUTION_UNKNOWN: Final = ErrorSpec(
    code="RESOLUTION_UNKNOWN",
    category=Category.DENIED,
    message="The error {fingerprint} has no resolution {resolution}.",
    why="It was deleted, or belongs to another error or organisation.",
    remedy="`GET /api/v1/errors/{fingerprint}` lists the resolutions of an error.",
    http_status=404,
    severity=Severity.DEBUG,
)
RESOLUTION_REFUSED: Final = ErrorSpec(
    code="RESOLUTION_REFUSED",
    category=Category.DENIED,
    message="The note cannot be kept: {reason}.",
    why="Notes are bounded, so that they stay readable.",
    remedy="Write one to 4000 characters; change an existing note instead of adding one more.",
    http_status=422,
    severity=Severity.INFO,
)
VECTORS_UNAVAILABLE: Final = ErrorSpec(
    code="VECTORS_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The store of error vectors does not answer: {reason}.",
    why="PostgreSQL, or the server of WEAVIATE_URL, is stopped, cut off or out of resources.",
    remedy="`aitrading doctor --databases` asks it step by step. Errors are recorded meanwhile "
    "and compared later.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
VECTORS_REJECTED: Final = ErrorSpec(
    code="VECTORS_REJECTED",
    category=Category.FATAL,
    message="The store of error vectors refuses: {reason}.",
    why="The API key in WEAVIATE_URL is not accepted, or something else uses our collection.",
    remedy="Give a key that may create and change the collection AitradingErrorVectors, as "
    "https://:KEY@host, and keep that collection to this platform. Errors are recorded meanwhile.",
    http_status=503,
    severity=Severity.ERROR,
    impact=Impact.VISIBILITY,
)
