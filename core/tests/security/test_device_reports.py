"""The longest report is taken: what is left away is never that files are altered."""

from uuid import UUID

import msgspec
import pytest

from aitrading.core.protocol.device_notes import Notes
from aitrading.core.security.crypto import TlsKey
from aitrading.core.security.device_reports import (
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    FilesState,
    ReportedMeasure,
    SecurityReport,
    fitted,
    fitting,
)
from aitrading.core.security.device_requests import (
    Asking,
    DevicePurpose,
    is_by,
    signed_request,
)

LONG = "\U0001f4a9" * MAX_TEXT_CHARS


def test_a_report_of_altered_files_is_short_enough_to_be_taken() -> None:
    measure = ReportedMeasure(name=LONG, outcome="failed", why=LONG)
    whole = SecurityReport(
        software=LONG, system=LONG, files=FilesState.ALTERED, release=LONG,
        findings=(LONG,) * MAX_ITEMS, debugger=LONG, environment=(LONG,) * MAX_ITEMS,
        measures=(measure,) * MAX_ITEMS, foreign=(LONG,) * MAX_ITEMS,
    )  # fmt: skip
    content = msgspec.json.encode(fitting(whole)).decode()
    key, who = TlsKey.generate(), UUID(int=1)
    asking = Asking(purpose=DevicePurpose.SECURITY, tenant=who, device=who, issued_ms=1)
    request = signed_request(asking, content, key)
    assert is_by(key.public_der(), DevicePurpose.SECURITY, request)
    assert len(msgspec.json.encode(request)) <= 16 * 1024
    assert msgspec.json.decode(content, type=SecurityReport).files is FilesState.ALTERED
    assert fitting(msgspec.structs.replace(whole, findings=("a.py",), environment=(), measures=())).findings  # fmt: skip


def test_a_path_that_no_database_keeps_is_told_all_the_same() -> None:
    assert fitted("evil\x00.py") == "evil?.py"


def test_a_delivery_without_notes_is_none() -> None:
    empty = b'{"queue": "00000000-0000-7000-8000-000000000000", "notes": []}'
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(empty, type=Notes)
