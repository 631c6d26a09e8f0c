"""What a service process may refuse before it serves anybody."""

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

BUNDLE_MISSING = ErrorSpec(
    code="BUNDLE_MISSING",
    category=Category.FATAL,
    message="this service does not know its bundle: AITRADING_BUNDLE is not set",
    why="services are started by `aitrading up`, which tells them what they may use",
    remedy="run `aitrading up`, or name a bundle file to start one service by hand",
    severity=Severity.CRITICAL,
)
BUNDLE_UNREADABLE = ErrorSpec(
    code="BUNDLE_UNREADABLE",
    category=Category.FATAL,
    message="the bundle {path} cannot be used: {reason}",
    why="the file is missing, damaged or of another version",
    remedy="run `aitrading up`, which writes it anew",
    severity=Severity.CRITICAL,
)
BUNDLE_FOREIGN = ErrorSpec(
    code="BUNDLE_FOREIGN",
    category=Category.FATAL,
    message="the bundle {path} belongs to {owner}, this is {service}",
    why="AITRADING_BUNDLE names the file of another service",
    remedy="name the bundle of this service",
    severity=Severity.CRITICAL,
)
CREDENTIALS_UNREADABLE = ErrorSpec(
    code="CREDENTIALS_UNREADABLE",
    category=Category.FATAL,
    message="the certificate or key of this service cannot be used: {reason}",
    why="a file that the bundle names is missing, damaged or not readable by this user",
    remedy="run `aitrading up`, which issues them anew; `aitrading doctor` shows the files",
    severity=Severity.CRITICAL,
)
LISTENER_FAILED = ErrorSpec(
    code="LISTENER_FAILED",
    category=Category.FATAL,
    message="{service} cannot listen on {address}: {reason}",
    why="another program uses the address, or the system does not allow it",
    remedy="end the other program, or choose another port in aitrading.toml ([ports])",
    severity=Severity.CRITICAL,
)
SERVICE_STARTING = ErrorSpec(
    code="SERVICE_STARTING",
    category=Category.RETRYABLE,
    message="{service} is starting and does not answer yet",
    why="it was started a moment ago and waits for what it depends on",
    remedy="try again in a second",
    http_status=503,
    severity=Severity.INFO,
)
