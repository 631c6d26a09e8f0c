"""Sources that misbehave: nothing half is taken, nothing wrong is forgotten, nobody holds up others."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aitrading.client.data_collector.collector import DataCollector
from aitrading.client.data_collector.fetching import AddressReader, FileReader
from aitrading.client.data_collector.known_notes import KnownNotes
from aitrading.client.data_collector.settings import DataSourcesSettings
from aitrading.client.data_collector.sources import SOURCES
from aitrading.client.security.file_keys import client_file_keys
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.device_settings import DataCollectorSettings
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.device_notes import NewsNote
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

GOOD = b"time,title\n2026-11-27T13:30:00Z,good\n"
HALF = GOOD + b"tomorrow,bad\n"
OK = b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n"


@dataclass
class Host:
    """Says to each connection what it is told to say, byte by byte if it trickles."""

    said: bytes = b""
    trickles: bool = False
    heard: list[bytes] = field(default_factory=list[bytes])
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"://127.0.0.1:{self.listener.getsockname()[1]}/calendar.csv?key=secret"
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            self.heard.append(connection.recv(4_096))
            try:
                connection.sendall(self.said)
                while self.trickles and not self.ended.wait(0.05):
                    connection.sendall(b"1")
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def close(self) -> None:
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def places(**set_to: str) -> DataSourcesSettings:
    return DataSourcesSettings(allowed_hosts=("127.0.0.1",), timeout_s=1, **set_to)


def refusal(reader: AddressReader | FileReader) -> str:
    with pytest.raises(AitradingError) as caught:
        reader.read()
    assert "secret" not in caught.value.message
    return caught.value.message


def test_an_answer_that_broke_off_is_not_taken_for_the_whole(host: Host) -> None:
    reader = AddressReader("http" + host.url, places())
    for rest in (
        b"content-length: 100\r\netag: a\r\n\r\nabc",
        b"transfer-encoding: chunked\r\netag: a\r\n\r\n64\r\nabc",
        b"transfer-encoding: chunked\r\netag: a\r\n\r\n3\r\nabc\r\n",
    ):
        host.said = OK + rest
        told = refusal(reader)
        assert "broke off" in told or "IncompleteRead" in told
    host.said = OK + b"content-length: 3\r\n\r\nabc"
    assert reader.read() == b"abc"
    assert not any(b"if-none-match" in asked for asked in host.heard)


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("http", OK + b"x-a: "),
        ("http", OK + b"transfer-encoding: chunked\r\n\r\n"),
        ("https", b"\x16\x03\x03\x40\x00"),
    ],
    ids=["headers", "chunk head", "handshake"],
)
def test_a_host_that_trickles_is_left_at_the_deadline(
    host: Host, scheme: str, said: bytes
) -> None:
    host.said, host.trickles = said, True
    assert "longer than 1 s" in refusal(AddressReader(scheme + host.url, places()))


def test_a_failure_tells_no_address(host: Host) -> None:
    host.said = b"/calendar.csv?key=secret is not HTTP\r\n\r\n"
    assert "BadStatusLine" in refusal(AddressReader("http" + host.url, places()))


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are elsewhere there")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "news.csv")
    assert "no regular file" in refusal(FileReader(tmp_path / "news.csv", 1_000))


def test_what_is_wrong_is_told_until_it_is_read_well(tmp_path: Path, host: Host) -> None:
    """Neither "unchanged" nor "not modified" makes bad content good."""
    source = SOURCES["economic_calendar"](places(calendar_url="http" + host.url), tmp_path)
    bad = b"content-length: 2\r\netag: a\r\n\r\n{}"
    good = b"content-length: %d\r\netag: b\r\n\r\n" % len(GOOD) + GOOD
    host.said = OK + bad
    for _ in range(2):
        with pytest.raises(AitradingError, match="not understood"):
            source.look()
    assert b"if-none-match" not in host.heard[-1]
    host.said = OK + good
    assert [note.title for note in source.look().notes] == ["good"]
    host.said = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    file = tmp_path / "economic_calendar.csv"
    file.write_bytes(HALF)
    first, again = source.look(), source.look()
    assert (len(first.notes), first.rejected, again.notes, again.rejected) == (1, 1, [], 0)
    assert "no time" in first.first_problem
    assert again.first_problem == first.first_problem, "it is still half wrong"
    file.write_bytes(b"{}")
    for _ in range(2):
        with pytest.raises(AitradingError, match="not understood"):
            source.look()
    file.unlink()
    assert source.look().first_problem == ""


@async_test
async def test_a_source_that_takes_its_time_holds_up_no_other(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: KnownNotes) -> None:
        raise OSError(28, "No space left on device")

    host.trickles = True
    toml = tmp_path / "aitrading.toml"
    toml.write_text(
        "[data_sources]\nallowed_hosts = ['127.0.0.1']\ntimeout_s = 60\n"
        f"calendar_url = 'http{host.url}'\n"
        "[data_collector]\nsources = ['economic_calendar', 'news']\n"
    )
    config = ConfigManager.load((DataSourcesSettings, DataCollectorSettings), toml_path=toml)
    got: list[NewsNote] = []

    async def put(note: NewsNote) -> bool:
        got.append(note)
        return True

    clock, metrics = SystemClock(), Metrics()
    errors = ErrorHandler(
        clock=clock, randomness=SystemRandomness(), metrics=metrics,
        resilience=ResilienceRegistry(),
    )  # fmt: skip
    (tmp_path / "sources").mkdir()
    file = tmp_path / "sources" / "news.csv"
    file.write_bytes(b"bad")
    collector = DataCollector(
        config, KnownNotes(tmp_path / "collector", client_file_keys(tmp_path)), file.parent, put,
        clock=clock, randomness=SystemRandomness(), errors=errors, metrics=metrics,
    )  # fmt: skip
    async with TaskSet("test") as tasks:
        tasks.start(collector.run(), name="collector")
        await eventually(lambda: collector.state is ComponentState.DEGRADED)
        monkeypatch.setattr(KnownNotes, "save", full)
        file.write_bytes(GOOD)
        await eventually(
            lambda: "No space left" in str(collector.statistics()["news"]), what="a full disk"
        )
        assert collector.state is ComponentState.DEGRADED
        monkeypatch.undo()
        await eventually(lambda: collector.state is ComponentState.HEALTHY, what="room again")
        assert [note.title for note in got] == ["good"]
        assert len(host.heard) == 1, "the other one is still asked"
        host.ended.set()
