"""What a service may be called: its name is in its certificate, its socket, its paths, its user."""

import re
from typing import Final

MAX_SERVICE_NAME_CHARS: Final = 40
STREAM_SUFFIX: Final = "-ws"
"""Of the name under which a service answers its streams beside its requests."""
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)


def objection_to_name(name: str) -> str | None:
    """Why no service may be called so; None when one may."""
    if len(name) > MAX_SERVICE_NAME_CHARS or not _NAME.fullmatch(name):
        return "it is no name for a service"
    if name.endswith(STREAM_SUFFIX):
        return f"names that end in {STREAM_SUFFIX} belong to the streams of other services"
    return None
