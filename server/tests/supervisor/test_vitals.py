"""What the supervisor leaves for the history of metrics."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.metrics_history.exposition import Snapshot, TextReader
from aitrading.server.engines.envoy import ADMIN_SOCKET, EnvoyStats
from aitrading.server.engines.proc import descendants, use_of
from aitrading.server.kit.bundle import TOLD_EVERY_S
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import ChildState, PlatformState
from aitrading.server.supervisor.vitals import Vitals
from aitrading.server.testing.engines import socket_folder

STATS = b'# TYPE envoy_rq counter\nenvoy_rq{envoy_prefix="http"} 7\n'


def state_of(pid: int | None) -> PlatformState:
    child = ChildState(state=ComponentState.HEALTHY, pid=pid, restarts=2)
    gone = ChildState(state=ComponentState.FAILED)
    return PlatformState(
        ready=True, started_in_s=1.0, services={"desk": child}, engines={"gone": gone}
    )


def numbers(snapshot: Snapshot) -> dict[tuple[str, str], float]:
    return {
        (series.name, dict(series.labels).get("child", "")): parts[0][1]
        for series, parts in snapshot.readings
    }


@asynccontextmanager
async def running(vitals: Vitals) -> AsyncIterator["asyncio.Task[None]"]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(vitals.run())
        yield task
        task.cancel()


@async_test
async def test_every_child_is_told_with_what_it_uses(tmp_path: Path) -> None:
    home, clock = Home(tmp_path / "home"), ManualClock()
    home.create()
    home.prepare()
    vitals = Vitals(home, lambda: state_of(os.getpid()), clock)
    async with running(vitals):
        file = home.told / "supervisor.prom"
        await eventually(file.exists, what="the first file")
        assert file.stat().st_mode & 0o777 == 0o600
        told = numbers(TextReader().read("supervisor", file.read_bytes()))
        assert told["aitrading_child_serving", "desk"] == 1
        assert told["aitrading_child_serving", "gone"] == 0
        assert told["aitrading_child_restarts_total", "desk"] == 2
        assert told["aitrading_child_private_bytes", "desk"] > 1 << 20
        assert told["aitrading_child_cpu_s_total", "supervisor"] > 0
        assert ("aitrading_child_cpu_s_total", "gone") not in told
        assert not (home.told / "envoy.prom").exists(), "there is no Envoy to ask"
        file.unlink()
        await eventually(lambda: clock.sleeping == 1, what="the pause")
        await clock.advance(TOLD_EVERY_S)
        await eventually(file.exists, what="the next file")


@async_test
async def test_measuring_never_ends_the_platform(tmp_path: Path) -> None:
    home, clock = Home(tmp_path / "home"), ManualClock()
    home.create()
    home.prepare()
    home.told.rmdir()
    vitals = Vitals(home, lambda: state_of(None), clock)
    async with running(vitals) as task:
        await eventually(lambda: clock.sleeping == 1, what="the pause after a failure")
        assert not task.done()


def test_what_ended_below_a_process_still_counts() -> None:
    spin = "import os\nfor _ in range(2):\n pid = os.fork()\n if not pid:\n"
    spin += "  sum(range(4_000_000)); os._exit(0)\n os.waitpid(pid, 0)\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        use = use_of(descendants(process.pid))
        assert (use.processes, use.cpu_s > 0) == (1, True)
        process.communicate(b"\n")
    assert use_of([process.pid]).processes == 0


class _Admin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """In chunks, as Envoy does."""
        self.send_response(200 if "/stats/prometheus?usedonly&filter=" in self.path else 404)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(STATS), STATS))

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def admin(folder: Path) -> Iterator[None]:
    with ThreadingUnixStreamServer(str(folder / ADMIN_SOCKET), _Admin) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_what_envoy_counts_is_read_or_missing() -> None:
    with socket_folder() as folder:
        stats = EnvoyStats(Path(folder))
        assert stats.text() is None
        with admin(Path(folder)):
            text = stats.text()
        assert text == STATS
        (reading,) = TextReader().read("envoy", text or b"").readings
        assert (reading.series.name, reading.parts) == ("envoy_rq", ((0, 7.0),))
