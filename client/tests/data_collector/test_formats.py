"""What the three forms give, and what is left out of them."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typing_extensions import override

from aitrading.client.data_collector.fetching import AddressReader, FileReader
from aitrading.client.data_collector.formats import Entries, read_entries
from aitrading.client.data_collector.settings import DataSourcesSettings, address_problem
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.device_notes import NewsKind

AT_MS = 1_795_786_200_000  # 2026-11-27T13:30:00Z


def read(text: str | bytes, form: str) -> Entries:
    data = text.encode() if isinstance(text, str) else text
    return read_entries(data, form, kind=NewsKind.ECONOMIC_CALENDAR, source="file")


CSV = """time,title,currency,importance,forecast
2026-11-27T13:30:00Z,"Non-farm payrolls, all",USD,high,180K
2026-11-27 14:30:00+01:00,Same moment,EUR,low,
"""
JSON = json.dumps(
    [
        {"time": "2026-11-27T13:30:00Z", "title": "Non-farm payrolls, all", "currency": "USD",
         "importance": "high", "forecast": "180K"},
        {"time": "2026-11-27T14:30:00+01:00", "title": "Same moment", "currency": "EUR",
         "importance": "low"},
    ]
)  # fmt: skip
ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
DTSTART:20261127T133000Z
SUMMARY:Non-farm payrolls\\, all
CATEGORIES:USD
PRIORITY:1
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE-TIME:20261127T133000Z
SUMMARY:Same mo
 ment
CATEGORIES:EUR
PRIORITY:9
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(("text", "form"), [(CSV, "csv"), (JSON, "json"), (ICS, "ics")])
def test_one_calendar_in_three_forms(text: str, form: str) -> None:
    found = read(text, form)
    assert (found.rejected, found.first_problem) == (0, "")
    first, second = found.notes
    assert (first.title, first.happens_ms, first.importance) == (
        "Non-farm payrolls, all", AT_MS, 3,
    )  # fmt: skip
    assert (second.title, second.happens_ms, second.currency) == ("Same moment", AT_MS, "EUR")


def test_the_same_content_has_one_id_whatever_brought_it() -> None:
    [first, _], [again, _] = read(CSV, "csv").notes, read(JSON, "json").notes
    assert first.id == again.id
    other = read_entries(CSV.encode(), "csv", kind=NewsKind.NEWS, source="file").notes[0]
    assert other.id != first.id


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"time": "tomorrow"}, "is no time"),
        ({"time": "2026-11-27T13:30:00"}, "has no zone"),
        ({"time": ""}, "no `time`"),
        ({"time": "2400-01-01T00:00:00Z"}, "happens_ms"),
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"currency": "usd"}, "currency"),
        ({"importance": "huge"}, "importance"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"actual": {"a": 1}}, "text or a number"),
        ({"actual": True}, "text or a number"),
        ({"surprise": "x"}, "no field 'surprise'"),
    ],
)
def test_an_entry_that_is_wrong_is_left_out_and_the_others_count(
    changes: dict[str, object], problem: str
) -> None:
    good = {"time": "2026-11-27T13:30:00Z", "title": "good"}
    found = read(json.dumps([{**good, **changes}, good]), "json")
    assert ([each.title for each in found.notes], found.rejected) == (["good"], 1)
    assert problem in found.first_problem


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ("no columns\n1", "csv"), ("time,title\n1,2,3\n", "csv"), ('time,title\n"open', "csv"),
        ("{}", "json"), ("[1]", "json"), ("[" * 100_000, "json"), ("hello", "ics"),
        (b"\xff\xfe", "csv"), ("x", "exe"), ("x", ""),
    ],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused_as_a_whole(data: str | bytes, form: str) -> None:
    with pytest.raises(AitradingError) as refusal:
        read(data, form)
    assert refusal.value.code == "SOURCE_MALFORMED"


def test_text_of_strangers_steers_no_terminal() -> None:
    found = read(json.dumps([{"time": "2026-11-27T13:30:00Z", "title": "a\x1b[2Jb\x07"}]), "json")
    assert found.notes[0].title == "a [2Jb"


def test_a_file_is_read_when_it_changed(tmp_path: Path) -> None:
    reader = FileReader(tmp_path / "news.csv", 1_000, may_be_absent=True)
    assert reader.read() is None
    reader.path.write_text("one")
    assert reader.read() == b"one"
    assert reader.read() is None
    reader.forget()
    assert reader.read() == b"one"
    reader.path.write_text("x" * 1_001)
    with pytest.raises(AitradingError):
        reader.read()
    with pytest.raises(AitradingError):
        FileReader(tmp_path / "away.csv", 10).read()


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("location", "/calendar.json")
            self.end_headers()
        elif self.path.startswith("/large"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 3_000)
        elif self.headers.get("if-none-match") == '"v1"':
            self.send_response(304)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("etag", '"v1"')
            self.end_headers()
            self.wfile.write(JSON.encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_is_asked_within_limits(site: str) -> None:
    settings = DataSourcesSettings(allowed_hosts=("127.0.0.1",), limit_kb=2)
    reader = AddressReader(f"{site}/calendar.json?key=secret", settings)
    assert read(reader.read() or b"", reader.form).rejected == 0
    assert reader.read() is None, "not modified"
    assert "secret" not in reader.name
    for path, words in (("/moved", "302"), ("/large", "larger")):
        with pytest.raises(AitradingError, match=words):
            AddressReader(site + path, settings).read()
    with pytest.raises(AitradingError, match="allowed_hosts"):
        AddressReader(site, DataSourcesSettings()).read()


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("", True), ("https://news.example/feed.json", True), ("https://news.example:8443/x", True),
        ("http://news.example/feed", False), ("https://other.example/", False),
        ("file:///etc/passwd", False), ("https://u:p@news.example/", False),
        ("https://news.example/a b", False), ("https://news.example/\u00fc?key=secret", False),
        ("https://news.example/\n", False), ("https://n\u00e9ws.example/", False),
        ("https://news.example.evil.example/", False), ("https://news.example:99999/", False),
    ],
)  # fmt: skip
def test_only_allowed_addresses_may_be_set(url: str, *, fine: bool) -> None:
    assert (address_problem(url, ("news.example",)) is None) == fine
