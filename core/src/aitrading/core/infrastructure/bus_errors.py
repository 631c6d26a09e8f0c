"""What the event bus refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

BUS_UNAVAILABLE: Final = ErrorSpec(
    code="BUS_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The event bus is not connected: {problem}.",
    why="NATS is down or restarting, or its certificate or password was not accepted.",
    remedy="The connection is tried again by itself; `aitrading status` shows the engine `nats`.",
    http_status=503,
    impact=Impact.VISIBILITY,
)
BUS_EVENT_TOO_LARGE: Final = ErrorSpec(
    code="BUS_EVENT_TOO_LARGE",
    category=Category.FATAL,
    message="An event {event} of {size_bytes} bytes exceeds the limit of {limit_bytes} bytes.",
    why="The bus carries facts and references, not bulk data.",
    remedy="Put the data into its store and publish where it is.",
    http_status=500,
)
BUS_BAD_ENVELOPE: Final = ErrorSpec(
    code="BUS_BAD_ENVELOPE",
    category=Category.FATAL,
    message="A message on {subject} is not an event: {problem}.",
    why="Something else than this platform published it, or an incompatible version did.",
    remedy="Bring all processes to the same release; look for other users of the bus.",
)
BUS_WRONG_TENANT: Final = ErrorSpec(
    code="BUS_WRONG_TENANT",
    category=Category.FATAL,
    message="A message on {subject} says to be {event} of somebody else and is dropped.",
    why="The owner in the subject and in the envelope differ: a forgery or a defect.",
    remedy="Treat it as a security event: find which bus user published it.",
    severity=Severity.CRITICAL,
    impact=Impact.EVIDENCE,
)
BUS_NO_RESPONDER: Final = ErrorSpec(
    code="BUS_NO_RESPONDER",
    category=Category.RETRYABLE,
    message="Nobody answers {command} on the bus.",
    why="The service that answers it is down or still starting.",
    remedy="Wait until `aitrading status` shows it HEALTHY and try again.",
    http_status=503,
    severity=Severity.WARNING,
)
BUS_REQUEST_FAILED: Final = ErrorSpec(
    code="BUS_REQUEST_FAILED",
    category=Category.FATAL,
    message="{command} was not answered properly (fingerprint {fingerprint}).",
    why="The service that answers it met an error of its own, or is of another release.",
    remedy="Look for the fingerprint in the health and the log of the answering service.",
    http_status=502,
)
BUS_FORBIDDEN: Final = ErrorSpec(
    code="BUS_FORBIDDEN",
    category=Category.FATAL,
    message="The bus refuses what this service wants: {problem}.",
    why="The service's bus user has no right to that subject, or the stream has other settings.",
    remedy="Restart with `aitrading up`, which writes the bus users anew; report it if it stays.",
    severity=Severity.ERROR,
    impact=Impact.VISIBILITY,
)
