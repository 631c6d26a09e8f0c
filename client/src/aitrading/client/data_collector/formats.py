"""News and calendar entries from CSV, JSON and iCalendar. Pure; every entry is checked.

An entry that is not as it should be is left out and counted with the reason of the first one; the
others count. What is not of the form at all is `SOURCE_MALFORMED`.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from aitrading.client.data_collector.errors import SOURCE_MALFORMED
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.device_notes import (
    BODY_CHARS_MAX,
    NewsKind,
    NewsNote,
)

ENTRIES_MAX: Final = 10_000
FORMS: Final = ("csv", "json", "ics")
_IMPORTANCE: Final = {"": 0, "none": 0, "low": 1, "medium": 2, "high": 3}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FIELDS: Final = frozenset(
    {"time", "title", "body", "url", "currency", "importance", "actual", "forecast", "previous"}
)
_ICS_LINE: Final = re.compile(r"([A-Za-z0-9-]+)((?:;[^:\"]*|;[^:]*\"[^\"]*\")*):(.*)")
_MS_PER_S: Final = 1_000


@dataclass(slots=True)
class Entries:
    """What was understood, and what was not."""

    notes: list[NewsNote] = field(default_factory=list[NewsNote])
    rejected: int = 0
    first_problem: str = ""


def read_entries(data: bytes, form: str, *, kind: NewsKind, source: str) -> Entries:
    """Read one file or answer; raises `SOURCE_MALFORMED`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _malformed(source, "it is not UTF-8 text") from exc
    reader = {"csv": _csv, "json": _json, "ics": _ics}.get(form)
    if reader is None:
        raise _malformed(source, f"its name ends in none of: {', '.join(FORMS)}")
    found = Entries()
    for number, raw in enumerate(reader(text, source), start=1):
        if number > ENTRIES_MAX:
            raise _malformed(source, f"it has more than {ENTRIES_MAX} entries")
        try:
            found.notes.append(_note(raw, kind, source))
        except (ValueError, msgspec.ValidationError) as exc:
            found.rejected += 1
            found.first_problem = found.first_problem or f"entry {number}: {exc}"
    return found


def _note(raw: Mapping[str, Any], kind: NewsKind, source: str) -> NewsNote:
    """One entry, checked; raises what is wrong with it."""
    unknown = set(raw) - _FIELDS
    if unknown:
        raise ValueError(f"there is no field {min(unknown)[:40]!r}")
    texts = {name: _clean(value) for name, value in raw.items() if value not in (None, "")}
    if "time" not in texts:
        raise ValueError("it has no `time`")
    importance = texts.pop("importance", "").lower()
    values: dict[str, Any] = {
        **texts,
        "kind": kind,
        "source": source,
        "happens_ms": _moment_ms(texts.pop("time")),
        "importance": _IMPORTANCE.get(importance, importance),
    }
    values.pop("time", None)
    values["body"] = texts.get("body", "")[:BODY_CHARS_MAX]
    return msgspec.convert(values, NewsNote, strict=False)


def _clean(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a field is text or a number")  # noqa: TRY004 - like every other fault
    return _CONTROL.sub(" ", str(value)).strip()


def _moment_ms(text: str) -> int:
    """RFC 3339 with its zone; without a zone nobody knows when that is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time like 2026-11-27T13:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no zone; write 2026-11-27T13:30:00Z")
    return round(moment.timestamp() * _MS_PER_S)


def _csv(text: str, source: str) -> Iterator[Mapping[str, Any]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = rows.fieldnames or ()
        if "time" not in names or "title" not in names:
            raise _malformed(
                source, "the first line names the columns, `time` and `title` among them"
            )
        for row in rows:
            if None in row:
                raise _malformed(source, f"line {rows.line_num} has more values than columns")
            yield row
    except csv.Error as exc:
        raise _malformed(source, f"line {rows.line_num}: {exc}") from exc


def _json(text: str, source: str) -> Iterable[Mapping[str, Any]]:
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise _malformed(source, f"it is no list of objects: {exc}") from exc


def _ics(text: str, source: str) -> Iterator[Mapping[str, Any]]:
    """Events of an iCalendar file (RFC 5545): start, summary, description, URL, priority."""
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()
    if not lines or lines[0].strip().upper() != "BEGIN:VCALENDAR":
        raise _malformed(source, "it does not begin with BEGIN:VCALENDAR")
    event: dict[str, Any] | None = None
    for line in lines:
        found = _ICS_LINE.fullmatch(line)
        if found is None:
            continue
        name, _parameters, value = found[1].upper(), found[2], found[3]
        if (name, value.upper()) == ("BEGIN", "VEVENT"):
            event = {}
        elif (name, value.upper()) == ("END", "VEVENT") and event is not None:
            yield event
            event = None
        elif event is not None and name in _ICS_FIELDS:
            event[_ICS_FIELDS[name]] = _ICS_VALUES.get(name, _unescaped)(value)


def _unescaped(value: str) -> str:
    return re.sub(r"\\([\\;,nN])", lambda m: "\n" if m[1] in "nN" else m[1], value)


def _ics_time(value: str) -> str:
    """UTC only: a zone of an iCalendar file is defined in the file itself, by rules nobody checks."""
    found = re.fullmatch(r"(\d{8})T(\d{6})Z", value)
    if found is None:
        return value
    return datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC).isoformat()


def _ics_priority(value: str) -> str:
    """1 to 4 high, 5 medium, 6 to 9 low (RFC 5545, 3.8.1.9)."""
    number = int(value) if value.isascii() and value.isdigit() else 0
    return "high" if 1 <= number <= 4 else "medium" if number == 5 else "low" if number else ""  # noqa: PLR2004


_ICS_FIELDS: Final = {
    "DTSTART": "time",
    "SUMMARY": "title",
    "DESCRIPTION": "body",
    "URL": "url",
    "PRIORITY": "importance",
    "CATEGORIES": "currency",
}
_ICS_VALUES: Final = {"DTSTART": _ics_time, "PRIORITY": _ics_priority}


def _malformed(source: str, reason: str) -> AitradingError:
    return SOURCE_MALFORMED.error(source=source, reason=reason[:300])
