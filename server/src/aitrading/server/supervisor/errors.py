"""What can keep the platform from starting, said so that a person can act on it."""

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

HOME_IN_USE = ErrorSpec(
    code="HOME_IN_USE",
    category=Category.DENIED,
    message="{home} is in use by process {pid} ({command}) since {since}.",
    why="One platform at a time may work in a home; a second one would damage its data.",
    remedy="Use `aitrading status` to look at it, `aitrading down` to stop it, or set AITRADING_HOME "
    "to another folder.",
)
HOME_NOT_USABLE = ErrorSpec(
    code="HOME_NOT_USABLE",
    category=Category.FATAL,
    message="{home} cannot be the home of the platform: {reason}.",
    why="The home must be a folder in which the user who runs `aitrading`, and nobody else, may write.",
    remedy="Set AITRADING_HOME to a folder of your own, or correct it with `chown` and `chmod go-w`.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
HOME_PATH_TOO_LONG = ErrorSpec(
    code="HOME_PATH_TOO_LONG",
    category=Category.FATAL,
    message="{folder} has {length_bytes} bytes; Unix sockets below it would exceed {limit_bytes}.",
    why="Neither AITRADING_HOME nor the temporary folder is short enough for socket names.",
    remedy="Set AITRADING_HOME or TMPDIR to a shorter path.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
DISK_SPACE_LOW = ErrorSpec(
    code="DISK_SPACE_LOW",
    category=Category.RETRYABLE,
    message="{folder} has {free_mb} MB free; at least {needed_mb} MB are needed to start.",
    why="An engine that runs out of space while it recovers cannot finish.",
    remedy="Free some space, or point AITRADING_HOME at a larger disk. Nothing was changed.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
CLOCK_BEHIND = ErrorSpec(
    code="CLOCK_BEHIND",
    category=Category.RETRYABLE,
    message="This machine's clock says {now}, but this home was already used at {newest}.",
    why="The clock runs behind: certificates would not be valid yet and records would be out of order.",
    remedy="Correct the clock (`timedatectl set-ntp true`). If it is right now and was ahead before, "
    "delete the file `last-used` in AITRADING_HOME.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
PORT_TAKEN = ErrorSpec(
    code="PORT_TAKEN",
    category=Category.RETRYABLE,
    message="{taken}.\n  Free ports instead: aitrading up {choice}",
    why="Another program listens there, perhaps another platform in another home.",
    remedy="Stop that program, or take free ports: 0, on the command line as above, or for "
    "`make run` too in AITRADING_HOME/aitrading.toml.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
CHILD_START_FAILED = ErrorSpec(
    code="CHILD_START_FAILED",
    category=Category.RETRYABLE,
    message="{child} did not become ready: {detail}\nIts log is {log}.",
    why="The process ended, or did not answer its readiness probe in time.",
    remedy="Read its log; `aitrading doctor` looks for the usual causes.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
BACKUP_SCHEDULE_INCOMPLETE = ErrorSpec(
    code="BACKUP_SCHEDULE_INCOMPLETE",
    category=Category.FATAL,
    message="`backup.every_h` is set, but `backup.folder` or `backup.recovery_key` is not.",
    why="A backup by the clock needs a place and a public key: nobody is there to type a passphrase.",
    remedy="Run `aitrading backup new-key FILE`, then set `backup.recovery_key` to FILE.pub and `backup.folder`.",
    severity=Severity.ERROR,
)
BACKUP_SCHEDULE_ELSEWHERE = ErrorSpec(
    code="BACKUP_SCHEDULE_ELSEWHERE",
    category=Category.FATAL,
    message="`backup.every_h` is set, but {store} is a server given by URL.",
    why="A backup made here would lack it, look whole, and could not be restored: every round would be refused.",
    remedy="Set `backup.every_h` to 0 and back the server up with its own tools, in the order of the runbook "
    "on backups.",
    severity=Severity.ERROR,
)
IDENTITIES_FAILED = ErrorSpec(
    code="IDENTITIES_FAILED",
    category=Category.FATAL,
    message="Certificates for the services could not be issued: {detail}",
    why="The process that opens the installation's keys ended unexpectedly.",
    remedy="Read the detail; check that AITRADING_HOME/keys is complete, or restore it from a backup.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
NOT_RUNNING = ErrorSpec(
    code="NOT_RUNNING",
    category=Category.RETRYABLE,
    message="No platform runs in {home}.",
    why="Nothing answers on its administration socket.",
    remedy="Start it with `aitrading up`, or set AITRADING_HOME to the home you mean.",
)
ADMIN_DENIED = ErrorSpec(
    code="ADMIN_DENIED",
    category=Category.DENIED,
    message="User {uid} may not administer this platform.",
    why="Only the user who runs it, and root, may use its administration socket.",
    remedy="Run the command as that user.",
    http_status=403,
    severity=Severity.WARNING,
)
ADMIN_COMMAND_UNKNOWN = ErrorSpec(
    code="ADMIN_COMMAND_UNKNOWN",
    category=Category.DENIED,
    message="The administration command {command} is not known.",
    why="The command line and the running platform may be of different versions.",
    remedy="Restart the platform with this version: `aitrading down`, then `aitrading up`.",
    http_status=404,
    severity=Severity.WARNING,
)
ADMIN_ARGUMENTS_INVALID = ErrorSpec(
    code="ADMIN_ARGUMENTS_INVALID",
    category=Category.DENIED,
    message="the command's arguments are wrong: {reason}.",
    why="The command line and the running platform are of different versions, or the call is made by hand.",
    remedy="Use the `aitrading` command of the version that runs.",
)
ADMIN_CALL_REFUSED = ErrorSpec(
    code="ADMIN_CALL_REFUSED",
    category=Category.DENIED,
    message="The call to a service was refused: {reason}.",
    why="Commands of the host may call the internal interface of a service, nothing else.",
    remedy="Use a command of the same version as the running platform.",
    http_status=400,
    severity=Severity.WARNING,
)
DEMO_REFUSED = ErrorSpec(
    code="DEMO_REFUSED",
    category=Category.DENIED,
    message="The demo does not mix with a real installation: this home has {tenants}.",
    why="Demo logins and simulated accounts beside real ones would be mistaken for them.",
    remedy="Start without --demo, or point AITRADING_HOME at another folder.",
    severity=Severity.WARNING,
)
DEMO_ERASED = ErrorSpec(
    code="DEMO_ERASED",
    category=Category.DENIED,
    message="The demo's organisation was erased in this home.",
    why="An erasure is for good: its people and its account are never made again under that name.",
    remedy="Start without --demo, or point AITRADING_HOME at another folder.",
    severity=Severity.WARNING,
)
DEMO_FAILED = ErrorSpec(
    code="DEMO_FAILED",
    category=Category.RETRYABLE,
    message="The demo could not be set up while {step}: {detail}",
    why="A service refused or did not answer.",
    remedy="Read logs/api-gateway.log in AITRADING_HOME; then start again with --demo.",
    severity=Severity.WARNING,
)
