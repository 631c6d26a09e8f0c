"""What the client's link, certificate and enrolment refuse."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

LINK_UNREACHABLE: Final = ErrorSpec(
    code="LINK_UNREACHABLE",
    category=Category.RETRYABLE,
    message="The server at {address} cannot be reached: {cause}.",
    why="It is not running, the address is wrong, or a firewall is in between.",
    remedy="Nothing if it is a restart: the client connects again by itself. Otherwise run "
    "`aitrading-client doctor`.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
LINK_NOT_TRUSTED: Final = ErrorSpec(
    code="LINK_NOT_TRUSTED",
    category=Category.DENIED,
    message="The server at {address} did not prove to be yours: {cause}.",
    why="Its certificate is of another authority, for another name, expired, or of another key; "
    "it may be another server or an attack.",
    remedy="Nothing was sent. Ask your administrator; if the server was set up anew, enrol again.",
    http_status=403,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
LINK_REFUSED: Final = ErrorSpec(
    code="LINK_REFUSED",
    category=Category.RETRYABLE,
    message="The server refused the link with HTTP status {status}: {said}.",
    why="403: the device is unknown, revoked or kept out for a while. 503: the server is not "
    "ready yet.",
    remedy="Look at `aitrading device list` on the server; otherwise wait.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
LINK_ENDED: Final = ErrorSpec(
    code="LINK_ENDED",
    category=Category.RETRYABLE,
    message="The link ended before the greeting was finished: {cause}.",
    why="The server stopped, or did not accept this device.",
    remedy="The client connects again by itself.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
DEVICE_NOT_ENROLLED: Final = ErrorSpec(
    code="DEVICE_NOT_ENROLLED",
    category=Category.DENIED,
    message="This client has no certificate in {home}.",
    why="It was never enrolled, or it runs with another home.",
    remedy="Ask for a code (`aitrading device invite`) and run `aitrading-client enroll CODE`.",
    http_status=403,
    severity=Severity.INFO,
)
DEVICE_FILES_DAMAGED: Final = ErrorSpec(
    code="DEVICE_FILES_DAMAGED",
    category=Category.FATAL,
    message="The client's identity in {home} cannot be used: {reason}.",
    why="A file was changed, lost, or restored from another device.",
    remedy="Enrol again with a new code; unsent ticks of the old device stay in its spool.",
)
DEVICE_CERTIFICATE_EXPIRED: Final = ErrorSpec(
    code="DEVICE_CERTIFICATE_EXPIRED",
    category=Category.DENIED,
    message="The device certificate ended at {ended}.",
    why="The client did not run for longer than the certificate's life of 72 hours.",
    remedy="Enrol again with a new code: `aitrading device invite`, `aitrading-client enroll`.",
    http_status=403,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SERVER_ANSWER_UNEXPECTED: Final = ErrorSpec(
    code="SERVER_ANSWER_UNEXPECTED",
    category=Category.FATAL,
    message="The server answered with status {status} and something this client cannot use.",
    why="Client and server are of different versions, or something else listens there.",
    remedy="Check the address and compare the versions of both sides.",
    http_status=502,
)
ENROLMENT_ADDRESS_INVALID: Final = ErrorSpec(
    code="ENROLMENT_ADDRESS_INVALID",
    category=Category.DENIED,
    message="{address} is not an address of a server.",
    why="It must be `https://HOST` or `https://HOST:PORT`, without a path.",
    remedy="Copy the address that `aitrading up` prints, for example https://localhost:8000.",
    http_status=400,
    severity=Severity.INFO,
)
BACKEND_OTHER_SERVER: Final = ErrorSpec(
    code="BACKEND_OTHER_SERVER",
    category=Category.DENIED,
    message="The settings name the server {url}, but this client is enrolled at {enrolled}.",
    why="`backend.url` (BACKEND_URL) was changed, or belongs to another client.",
    remedy="Correct it, or enrol at the other server: `aitrading-client enroll CODE --replace`.",
    http_status=409,
    severity=Severity.ERROR,
)
