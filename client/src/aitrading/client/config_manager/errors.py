"""What the configuration manager refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

CONFIGURATION_UNREADABLE: Final = ErrorSpec(
    code="CONFIGURATION_UNREADABLE",
    category=Category.DENIED,
    message="{file} of the stored configuration cannot be used: {reason}",
    why="It was changed, is of another device, or its key was exchanged.",
    remedy="Nothing is lost: the client runs with its own settings and asks the server anew. Find out "
    "who wrote to the folder.",
    http_status=409,
    severity=Severity.ERROR,
)
