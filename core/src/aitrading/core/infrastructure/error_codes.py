"""What lifecycle, configuration, hub and dependency graph may refuse."""

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

LIFECYCLE_DEPENDENCY_MISSING = ErrorSpec(
    code="LIFECYCLE_DEPENDENCY_MISSING",
    category=Category.FATAL,
    message="{path}: {missing} is needed but does not exist; there are: {known}",
    why="a part declares a dependency that nobody in this process provides",
    remedy="add the missing part, or correct the name in depends_on",
    severity=Severity.CRITICAL,
)
LIFECYCLE_DEPENDENCY_CYCLE = ErrorSpec(
    code="LIFECYCLE_DEPENDENCY_CYCLE",
    category=Category.FATAL,
    message="the start order has no beginning: {path}",
    why="each of these parts waits for the next one",
    remedy="remove one of the dependencies on this path",
    severity=Severity.CRITICAL,
)
LIFECYCLE_NAME_TAKEN = ErrorSpec(
    code="LIFECYCLE_NAME_TAKEN",
    category=Category.FATAL,
    message="two parts are called {name}",
    why="names tell parts apart in the start order, in health and in logs",
    remedy="rename one of them",
    severity=Severity.CRITICAL,
)
LIFECYCLE_STOP_TIMEOUT = ErrorSpec(
    code="LIFECYCLE_STOP_TIMEOUT",
    category=Category.RETRYABLE,
    message="{name} did not stop within {timeout_s} s",
    why="it waits for something that does not answer any more",
    remedy="the process goes on stopping; look for the last log line of this part",
)
TASK_SET_CLOSED = ErrorSpec(
    code="TASK_SET_CLOSED",
    category=Category.DENIED,
    message="{task} cannot start: {task_set} is closed",
    why="its owner is stopping",
    remedy="nothing, if the process stops; otherwise the owner was stopped too early",
    severity=Severity.WARNING,
)
TASK_SET_FULL = ErrorSpec(
    code="TASK_SET_FULL",
    category=Category.RETRYABLE,
    message="{task} cannot start: {task_set} runs {running} of at most {limit} tasks",
    why="work arrives faster than it ends",
    remedy="try again later; if it lasts, find out what the running tasks wait for",
    severity=Severity.WARNING,
)
CONFIG_INVALID = ErrorSpec(
    code="CONFIG_INVALID",
    category=Category.FATAL,
    message="{count} configuration problem(s):\n{problems}",
    why="a setting is misspelt, has the wrong type or is out of its range",
    remedy="correct every line above and start again; docs/reference/settings.md lists all settings",
    http_status=422,
    severity=Severity.CRITICAL,
)
CONFIG_UNKNOWN_SETTING = ErrorSpec(
    code="CONFIG_UNKNOWN_SETTING",
    category=Category.DENIED,
    message="there is no setting {setting}{suggestion}",
    why="the name is misspelt, or it belongs to another service",
    remedy="docs/reference/settings.md lists all settings",
    http_status=404,
    severity=Severity.INFO,
)
CONFIG_SECTION_NOT_LOADED = ErrorSpec(
    code="CONFIG_SECTION_NOT_LOADED",
    category=Category.FATAL,
    message="the configuration of this process has no section {section}",
    why="the section was not declared where the process is put together",
    remedy="add the section class to the sections of the service",
)
CONFIG_SECTION_MALFORMED = ErrorSpec(
    code="CONFIG_SECTION_MALFORMED",
    category=Category.FATAL,
    message="the section class {section} is declared wrongly: {problem}",
    why="a section is a frozen keyword-only dataclass of documented settings",
    remedy="correct the declaration",
    severity=Severity.CRITICAL,
)
CONFIG_TENANTS_FULL = ErrorSpec(
    code="CONFIG_TENANTS_FULL",
    category=Category.DENIED,
    message="{count} tenants have overrides, the limit is {limit}",
    why="overrides are kept in memory for every tenant that has some",
    remedy="remove overrides that equal the default",
    http_status=409,
    severity=Severity.WARNING,
)
HUB_ALREADY_EXISTS = ErrorSpec(
    code="HUB_ALREADY_EXISTS",
    category=Category.FATAL,
    message="this process already has its central hub",
    why="there is one hub per process, made where the process is put together",
    remedy="use CentralHub.instance(), or better: take the hub as a constructor argument",
)
HUB_NOT_CREATED = ErrorSpec(
    code="HUB_NOT_CREATED",
    category=Category.FATAL,
    message="this process has no central hub yet",
    why="the hub is asked for before the process was put together",
    remedy="make the hub first",
)
REGISTRY_UNAVAILABLE = ErrorSpec(
    code="REGISTRY_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="the service registry does not answer: {reason}",
    why="the bus is down or unreachable",
    remedy="nothing at once: the last known services are used; `aitrading doctor` checks the bus",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
CHAIN_UNKNOWN = ErrorSpec(
    code="CHAIN_UNKNOWN",
    category=Category.DENIED,
    message="there is no chain {chain}{suggestion}",
    why="the name is misspelt or the chain is not defined in this version",
    remedy="`aitrading chains` lists all chains",
    http_status=404,
    severity=Severity.INFO,
)
CHAIN_HOP_UNKNOWN = ErrorSpec(
    code="CHAIN_HOP_UNKNOWN",
    category=Category.DENIED,
    message="the chain {chain} has no hop {hop}{suggestion}",
    why="the name is misspelt or the hop is not part of the chain in this version",
    remedy="`aitrading chains show NAME` lists the hops of a chain",
    http_status=404,
    severity=Severity.INFO,
)
CHAIN_REDEFINED = ErrorSpec(
    code="CHAIN_REDEFINED",
    category=Category.FATAL,
    message="the chain {chain} is defined twice with different hops",
    why="two parts of this process disagree about the chain",
    remedy="define each chain in one place",
)
IMPORT_DEPENDENCY_MISSING = ErrorSpec(
    code="IMPORT_DEPENDENCY_MISSING",
    category=Category.FATAL,
    message="nothing provides {missing}, the end of: {path}{hint}",
    why="a provider is not registered, or lives in a narrower scope than its user",
    remedy="register a provider for it where the process is put together",
    severity=Severity.CRITICAL,
)
IMPORT_DEPENDENCY_CYCLE = ErrorSpec(
    code="IMPORT_DEPENDENCY_CYCLE",
    category=Category.FATAL,
    message="these providers need each other: {path}",
    why="none of them can be made first",
    remedy="split one of them, or pass the dependency at call time",
    severity=Severity.CRITICAL,
)
IMPORT_GRAPH_INVALID = ErrorSpec(
    code="IMPORT_GRAPH_INVALID",
    category=Category.FATAL,
    message="the dependency graph is wrong: {problem}",
    why="a provider is declared in a way that cannot be resolved",
    remedy="correct the provider named above",
    severity=Severity.CRITICAL,
)
IMPORT_PROVIDER_DUPLICATE = ErrorSpec(
    code="IMPORT_PROVIDER_DUPLICATE",
    category=Category.FATAL,
    message="{provides} is provided twice: by {first} and by {second}",
    why="the later provider would silently win",
    remedy="remove one of them, or use override() in a test",
    severity=Severity.CRITICAL,
)
IMPORT_NOTHING_TO_OVERRIDE = ErrorSpec(
    code="IMPORT_NOTHING_TO_OVERRIDE",
    category=Category.FATAL,
    message="{provides} cannot be overridden: nothing provides it",
    why="an override of a dependency that does not exist would test nothing",
    remedy="override a type that is registered",
)
IMPORT_LAZY_FAILED = ErrorSpec(
    code="IMPORT_LAZY_FAILED",
    category=Category.FATAL,
    message="{target} cannot be imported: {reason}",
    why="the package is not installed here, or the name is misspelt",
    remedy="run `make setup`, then import the module in a Python of this environment",
    severity=Severity.CRITICAL,
)
