"""What the command line itself refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

LOGIN_NEEDED: Final = ErrorSpec(
    code="LOGIN_NEEDED",
    category=Category.DENIED,
    message="This command acts as a person, and nobody is logged in.",
    why="Quotes, orders and the kill switch belong to an organisation and a person.",
    remedy="On the host add `--for TENANT/USER`; elsewhere run `aitrading login` first.",
    severity=Severity.INFO,
)
PERSON_AMBIGUOUS: Final = ErrorSpec(
    code="PERSON_AMBIGUOUS",
    category=Category.DENIED,
    message="{given} does not say which organisation is meant; there are: {tenants}.",
    why="A user name belongs to an organisation, and there is not exactly one.",
    remedy="Write TENANT/USER, for example `demo/owner`.",
    severity=Severity.INFO,
)
CLI_SERVER_UNREACHABLE: Final = ErrorSpec(
    code="CLI_SERVER_UNREACHABLE",
    category=Category.RETRYABLE,
    message="{url} does not answer: {reason}",
    why="It does not run, another address is right, or a firewall is between.",
    remedy="Check `aitrading status` on the host and the address given with --server.",
    http_status=503,
)
CLI_SERVER_NOT_TRUSTED: Final = ErrorSpec(
    code="CLI_SERVER_NOT_TRUSTED",
    category=Category.DENIED,
    message="{url} does not prove, by the authority in {ca}, who it is: {reason}",
    why="Its certificate is signed by another authority, or it is for another name.",
    remedy="Give the right file with --ca; `aitrading ca show` on the host tells where it is.",
)
COPY_NOT_KNOWN: Final = ErrorSpec(
    code="COPY_NOT_KNOWN",
    category=Category.DENIED,
    message="No copy called {segment} lies in {folder}.",
    why="It is misspelt, of another home, or was removed.",
    remedy="`aitrading quarantine list` shows every copy.",
    severity=Severity.INFO,
)
COPY_NOT_WRITTEN: Final = ErrorSpec(
    code="COPY_NOT_WRITTEN",
    category=Category.DENIED,
    message="{path} cannot be written: {reason}",
    why="The folder does not exist or is not yours, or the disk is full.",
    remedy="Name a file in a folder of your own; the sealed copy was not touched.",
    severity=Severity.INFO,
)
CODE_NOT_KNOWN: Final = ErrorSpec(
    code="CODE_NOT_KNOWN",
    category=Category.DENIED,
    message="No error has the code {wanted}{suggestion}",
    why="The code is misspelt or from another version.",
    remedy="`aitrading errors list` shows all codes.",
    severity=Severity.INFO,
)
SETTING_NOT_KNOWN: Final = ErrorSpec(
    code="SETTING_NOT_KNOWN",
    category=Category.DENIED,
    message="There is no setting {wanted}{suggestion}",
    why="Settings are named section.field.",
    remedy="`aitrading config show` lists every setting.",
    severity=Severity.INFO,
)
TRACE_NOT_FOUND: Final = ErrorSpec(
    code="TRACE_NOT_FOUND",
    category=Category.DENIED,
    message="The trace {trace_id} is not kept.",
    why="It is misspelt, from another home, too old, not sampled, or younger than a few seconds.",
    remedy="Take the `trace_id` of an error's answer, or the 32 digits in the middle of any "
    "answer's `traceparent` header. `aitrading trace` alone lists what is kept.",
    severity=Severity.INFO,
)
LOG_NOT_FOUND: Final = ErrorSpec(
    code="LOG_NOT_FOUND",
    category=Category.DENIED,
    message="There is no log of {wanted} in {folder}; there are: {known}.",
    why="Nothing of that name ran in this home.",
    remedy="Name one of these, or give the right home with --home.",
    severity=Severity.INFO,
)
BENCH_NOT_KNOWN: Final = ErrorSpec(
    code="BENCH_NOT_KNOWN",
    category=Category.DENIED,
    message="There is no benchmark {wanted}; there are: {known}.",
    why="The name is misspelt or from another version.",
    remedy="Name one of these.",
    severity=Severity.INFO,
)
CA_NOT_MADE: Final = ErrorSpec(
    code="CA_NOT_MADE",
    category=Category.DENIED,
    message="There is no certificate authority in {home} yet.",
    why="It is made by the first start.",
    remedy="Run `aitrading up` once, or give the right home with --home.",
    severity=Severity.INFO,
)
CA_NOT_INSTALLED: Final = ErrorSpec(
    code="CA_NOT_INSTALLED",
    category=Category.DENIED,
    message="The certificate authority {certificate} was not installed: {reason}",
    why="The system's list of trusted authorities belongs to root.",
    remedy="Run the same command as root, or import that file into the browser.",
)
SESSION_FILE_DAMAGED: Final = ErrorSpec(
    code="SESSION_FILE_DAMAGED",
    category=Category.DENIED,
    message="The stored login at {path} cannot be read.",
    why="The file was edited, or written by another version.",
    remedy="Run `aitrading login` again.",
)
ARGUMENT_NOT_TEXT: Final = ErrorSpec(
    code="ARGUMENT_NOT_TEXT",
    category=Category.DENIED,
    message="{given} is not a text: it has bytes that are not UTF-8.",
    why="Names, codes and ids are sent as UTF-8; only the path of a file may have other bytes.",
    remedy="Write it again in a UTF-8 terminal; nothing was changed.",
    severity=Severity.INFO,
)
CLI_FAILED: Final = ErrorSpec(
    code="CLI_FAILED",
    category=Category.FATAL,
    message="The command failed unexpectedly ({kind}: {detail}).",
    why="This is a defect of the command, not of what it was asked.",
    remedy="Report it with the output of the same command under AITRADING_TRACEBACK=1.",
)
CHAIN_FILE_REFUSED: Final = ErrorSpec(
    code="CHAIN_FILE_REFUSED",
    category=Category.DENIED,
    message="{file} does not describe a chain: {reason}.",
    why="A chain is a JSON object with `name`, `description` and `hops`, each of a known kind.",
    remedy="`aitrading chains define --help` shows one; nothing was changed.",
    severity=Severity.INFO,
)
CLI_NAME_UNKNOWN: Final = ErrorSpec(
    code="CLI_NAME_UNKNOWN",
    category=Category.DENIED,
    message="There is no {what} called `{name}`.",
    why="The name is misspelt, or it was removed.",
    remedy="`aitrading tenant list` and `aitrading user list --tenant NAME` show who there is.",
    http_status=404,
    severity=Severity.INFO,
)
DEVICE_NOT_KNOWN: Final = ErrorSpec(
    code="DEVICE_NOT_KNOWN",
    category=Category.DENIED,
    message="`{tenant}` has no device called `{name}`.",
    why="The name is misspelt, or the device belongs to another organisation.",
    remedy="Give a name or an id that `aitrading device list --tenant NAME` shows.",
    http_status=404,
    severity=Severity.INFO,
)
DEVICE_AMBIGUOUS: Final = ErrorSpec(
    code="DEVICE_AMBIGUOUS",
    category=Category.DENIED,
    message="`{name}` is the name of several revoked devices: {devices}.",
    why="A name is free again when its device is revoked.",
    remedy="Give the id of the one you mean.",
    http_status=409,
    severity=Severity.INFO,
)
