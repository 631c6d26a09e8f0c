"""What the client as a program refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

PROBE_PORT_TAKEN: Final = ErrorSpec(
    code="PROBE_PORT_TAKEN",
    category=Category.DENIED,
    message="Port {port} of this machine is taken.",
    why="Another client runs here, or another program uses the port.",
    remedy="Stop it, or set another one: `connector.probe_port`, or of `[client_parts]` (0 takes a free one).",
    http_status=409,
    severity=Severity.ERROR,
)
CLIENT_NOT_RUNNING: Final = ErrorSpec(
    code="CLIENT_NOT_RUNNING",
    category=Category.RETRYABLE,
    message="No client runs with the home {home}.",
    why="It was not started, or it stopped.",
    remedy="Start it: `aitrading-client run`.",
    http_status=503,
    severity=Severity.INFO,
)
CLIENT_HOME_IN_USE: Final = ErrorSpec(
    code="CLIENT_HOME_IN_USE",
    category=Category.DENIED,
    message="Another client uses the home {home}.",
    why="Two clients with one identity would take each other's link away.",
    remedy="Stop the other one, or give this one a home and a device of its own.",
    http_status=409,
)
CLIENT_HOME_STRANGE: Final = ErrorSpec(
    code="CLIENT_HOME_STRANGE",
    category=Category.DENIED,
    message="{home} is not the home of a client: nothing was removed.",
    why="It holds no record of a device that can be read (`identity/device.json`); another folder may have been meant.",
    remedy="Give the client's home with `--home`. If the record itself is damaged, remove the folder by hand and revoke the device at the server.",
    http_status=409,
    severity=Severity.INFO,
)
