"""A broker's password in the clear is refused wherever a person may have put it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aitrading.client.security.credential_errors import CREDENTIALS_IN_CLEAR

CONFIG_NAME: Final = "aitrading.toml"
VARIABLES: Final = ("MT5_PASSWORD", "AITRADING_TERMINAL_LOGIN_PASSWORD")
SECTIONS: Final = ("terminal_login", "terminal_pool", "connector")
NAMES: Final = ("password", "MT5_PASSWORD", "mt5_password")


def require_no_password(environ: Mapping[str, str], toml_path: Path) -> None:
    """Raises `CREDENTIALS_IN_CLEAR` with the place, never with the password."""
    place = next((f"the variable {name}" for name in VARIABLES if environ.get(name)), None)
    place = place or _in_file(toml_path)
    if place is not None:
        raise CREDENTIALS_IN_CLEAR.error(place=place)


def _in_file(path: Path) -> str | None:
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None  # whoever reads the settings says what is wrong with the file
    tables = [("", told), *((f"{name}.", told.get(name)) for name in SECTIONS)]
    for prefix, table in tables:
        for name in NAMES:
            if isinstance(table, dict) and table.get(name):
                return f"`{prefix}{name}` in {path.name}"
    return None
