"""Asks the client that uses a home how it is."""

import http.client
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from aitrading.client.run_record import RUN_FILE, RunRecord
from aitrading.client.security.device_files import DeviceRecord

TIMEOUT_S: Final = 3.0
LOOPBACK: Final = "127.0.0.1"


def client_status(home: Path, record: DeviceRecord) -> dict[str, Any] | None:
    """The `/health` report of the running client; None when none answers for this device."""
    report: dict[str, Any] | None = asked(home, "/health")
    return report if report and report.get("instance") == str(record.device) else None


def client_symbols(home: Path, record: DeviceRecord) -> list[dict[str, Any]] | None:
    """The broker's symbols as the running client knows them; None without client or terminal."""
    if client_status(home, record) is None:
        return None
    symbols: list[dict[str, Any]] | dict[str, Any] | None = asked(home, "/symbols.json")
    return symbols if isinstance(symbols, list) else None


def asked(home: Path, path: str, timeout_s: float = TIMEOUT_S) -> Any:
    """What the client of this home answers; None when none does."""
    try:
        run = msgspec.json.decode((home / RUN_FILE).read_bytes(), type=RunRecord)
    except (OSError, msgspec.DecodeError):
        return None
    connection = http.client.HTTPConnection(LOOPBACK, run.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
