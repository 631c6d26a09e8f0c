"""What the edge refused is audited, folded, and nothing else of its log is."""

import asyncio
import json
import math
import threading
from pathlib import Path
from typing import Any

from typing_extensions import override

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.edge.refused import RefusedAtEdge, refusal_of
from aitrading.server.api_gateway.identity.refusals import RefusalFold, Refused
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.log_tail import MAX_BEHIND_BYTES, MAX_LINE_BYTES, MAX_READ_BYTES, LogTail

FORGED = "jwt_authn_access_denied{Jwt_verification_fails}"


def record(verdict: str, details: str = FORGED, client: str = "192.0.2.7") -> bytes:
    fields = {"verdict": verdict, "details": details, "client": client, "status": 401}
    return json.dumps({"logger": "access", "msg": "GET /", "fields": fields}).encode()


def test_only_what_tells_of_an_attack_is_an_event() -> None:
    forged = refusal_of(record("denied by token"))
    assert forged is not None
    assert (forged.action, forged.address) == (AuditAction.EDGE_TOKEN_REFUSED, "192.0.2.7")
    flood = refusal_of(record("denied by limit", "local_rate_limited"))
    assert flood is not None
    assert flood.action is AuditAction.EDGE_LIMITED
    everyday = ("Jwt_is_missing", "Jwt_is_expired")
    for details in everyday:
        assert (
            refusal_of(record("denied by token", f"jwt_authn_access_denied{{{details}}}")) is None
        )
    for line in (record("allowed"), record("denied by route"), b"denied by token", b"\xff{", b""):
        assert refusal_of(line) is None


@async_test
async def test_a_flood_leaves_a_handful_of_events(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_bytes(record("denied by token", client="198.51.100.1") + b"\n")
    fold = RefusalFold(ManualClock())
    written: list[str] = []

    async def note(refused: Refused) -> None:
        if fold.due(refused.action, refused.target, refused.address) is not None:
            written.append(refused.address)

    failures: list[Any] = []
    component = RefusedAtEdge(LogTail(log), note, clock=ManualClock(), on_error=failures.append)
    await component.start()
    with log.open("ab") as output:
        for _ in range(2_000):
            output.write(record("denied by token") + b"\n")
    await component.look()
    log.rename(tmp_path / "envoy.log.1")
    log.write_bytes(record("denied by token", client="203.0.113.5") + b"\n")
    await component.look()
    await component.look()
    await component.stop()
    assert written.count("192.0.2.7") == math.ceil(math.log2(2_000))
    assert written[-1] == "203.0.113.5", "the file that follows a rotation is read"
    assert "198.51.100.1" not in written, "what was there before is not told again"
    assert not failures


def test_who_falls_far_behind_skips_and_says_how_much(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_bytes(b"")
    tail = LogTail(log)
    tail.begin()
    log.write_bytes(b"short\n" + b"y" * MAX_LINE_BYTES + b"y\nshort\n")
    assert tail.lines() == [b"short", b"short"], "what no line may be is no line"
    log.write_bytes(b"")
    tail.begin()
    line = b"x" * 1023 + b"\n"
    log.write_bytes(line * ((MAX_BEHIND_BYTES >> 10) + 10))
    assert len(tail.lines()) <= MAX_READ_BYTES >> 10
    assert tail.skipped_bytes > MAX_BEHIND_BYTES - 2 * MAX_READ_BYTES
    tail.close()


def test_what_is_skipped_takes_the_begin_of_its_line_with_it(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_bytes(b"")
    tail = LogTail(log)
    tail.begin()
    log.write_bytes(b"begin of a line")
    assert tail.lines() == []
    with log.open("ab") as output:
        output.write(b"\n" + (b"x" * 1023 + b"\n") * (MAX_BEHIND_BYTES >> 10))
    assert not tail.lines()[0].startswith(b"begin")
    tail.close()


@async_test
async def test_what_a_cancelled_reader_had_read_the_next_one_gets(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_bytes(b"")
    began, go_on = threading.Event(), threading.Event()

    class SlowDisk(LogTail):
        @override
        def lines(self) -> list[bytes]:
            found = super().lines()
            began.set()
            go_on.wait()
            return found

    tail = SlowDisk(log)
    tail.begin()
    log.write_bytes(b"one\n")
    async with asyncio.TaskGroup() as tasks:
        cancelled = tasks.create_task(tail.read())
        await asyncio.to_thread(began.wait)
        cancelled.cancel()
    go_on.set()
    assert await tail.read() == [b"one"]
    tail.close()
    log.write_bytes(b"one\ntwo\n")
    assert await tail.read() == [], "a reader that comes late opens nothing again"
