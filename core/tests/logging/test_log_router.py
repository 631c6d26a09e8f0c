"""The logging façade: one JSON object per line, whatever is logged and whoever logs it."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import structlog
from _pytest.logging import LogCaptureHandler
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.secret import Secret
from aitrading.core.logging.optimized_log_router import (
    LogRouter,
    bind_context,
    configure_logging,
    get_logger,
    structlog_processor,
)
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.core.testing.manual_clock import ManualClock

TENANT = UUID("0190a1b2-0000-7000-8000-00000000000a")
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
SPEC = ErrorSpec(
    code="TEST_FAILED",
    category=Category.DENIED,
    message="{what} failed.",
    why="it had to",
    remedy="try again",
)
log = get_logger("aitrading.test")


class Capture:
    """A configured process with its lines."""

    def __init__(self, level: str = "DEBUG") -> None:
        self.raw = io.BytesIO()
        self.router = configure_logging(
            service="data-bridge",
            instance="data-bridge-1",
            clock=ManualClock(),
            stream=io.TextIOWrapper(self.raw, encoding="ascii"),
            level=level,
        )

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.raw.getvalue().splitlines()]

    def line(self) -> dict:
        [line] = self.lines()
        return line


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture()
    yield made
    made.router.close()


def test_a_line_says_what_when_where_and_for_whom(capture: Capture) -> None:
    with bind_context(tenant=TENANT, trace=TRACE, device="d1"):
        log.info("feed %s opened", "EURUSD", digits=5)
    assert capture.line() == {
        "ts": "2023-11-14T22:13:20.000000Z",
        "level": "INFO",
        "service": "data-bridge",
        "instance": "data-bridge-1",
        "logger": "aitrading.test",
        "msg": "feed EURUSD opened",
        "tenant": str(TENANT),
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
        "fields": {"device": "d1", "digits": 5},
    }


def test_context_nests_and_ends(capture: Capture) -> None:
    with bind_context(tenant="t1", a=1):
        with bind_context(trace_id="f" * 32, b=2):
            log.info("inner")
        log.info("outer")
    log.info("outside")
    inner, outer, outside = capture.lines()
    assert (inner["tenant"], inner["trace_id"], inner["fields"]) == (
        "t1",
        "f" * 32,
        {"a": 1, "b": 2},
    )
    assert (outer["tenant"], "trace_id" in outer, outer["fields"]) == ("t1", False, {"a": 1})
    assert "tenant" not in outside
    assert "fields" not in outside


def test_concurrent_tasks_never_see_each_others_tenant(capture: Capture) -> None:
    async def work(name: str) -> None:
        with bind_context(tenant=name):
            for _ in range(5):
                await asyncio.sleep(0)
                log.info(name)

    async def go() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(work(f"tenant-{number}"))

    asyncio.run(go())
    lines = [line for line in capture.lines() if line["logger"] == log.name]
    assert len(lines) == 50
    assert all(line["tenant"] == line["msg"] for line in lines)


def test_libraries_and_the_standard_library_are_caught(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bind_context(tenant="t1"):
        logging.getLogger("nats.client").warning("lost %s", "peer", extra={"attempt": 3})
        logging.getLogger("x").info({"not": "a text"})
        monkeypatch.setattr(logging.getLogger(), "handlers", [capture.router])
        logging.getLogger("x").info("wrong %d arguments", "many")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    first, second, third, fourth = capture.lines()
    assert (first["msg"], first["fields"], first["tenant"]) == ("lost peer", {"attempt": 3}, "t1")
    assert second["msg"] == "{'not': 'a text'}"
    assert "wrong %d arguments" in third["msg"]
    assert "old call" in fourth["msg"]
    assert fourth["logger"] == "py.warnings"


def test_structlog_goes_the_same_way(capture: Capture) -> None:
    ours = structlog.wrap_logger(get_logger("strategy"), processors=[structlog_processor])
    with bind_context(tenant="t1"):
        ours.bind(account=7).info("signal", side="BUY", password="hunter2")  # noqa: S106
    try:
        raise SPEC.error(what="it")
    except AitradingError:
        ours.exception("broken")
    first, second = capture.lines()
    assert (first["logger"], first["msg"], first["tenant"]) == ("strategy", "signal", "t1")
    assert first["fields"] == {"account": 7, "side": "BUY", "password": "***"}
    assert second["error_code"] == "TEST_FAILED"
    assert second["exception"][-1].endswith("Remedy: try again")


def test_an_error_of_ours_brings_its_code_and_fields(capture: Capture) -> None:
    log.error("hand-over failed", error=SPEC.error(what="disk", used=5))
    log.error("hand-over failed", error=ValueError("plain"))
    ours, plain = capture.lines()
    assert ours["error_code"] == "TEST_FAILED"
    assert ours["fields"]["error"] == {
        "type": "AitradingError",
        "message": "disk failed.",
        "fields": {"what": "disk", "used": 5},
    }
    assert "error_code" not in plain
    assert plain["fields"]["error"] == {"type": "ValueError", "message": "plain"}


def test_a_traceback_is_a_list_of_safe_lines(capture: Capture) -> None:
    try:
        int("\x1b[31mred\n{forged}", 99)
    except ValueError as error:
        error.args = ("\x1b[31mred\n{forged}",)
        log.exception("failed")
    lines = capture.line()["exception"]
    assert lines[0].startswith("Traceback")
    assert "\\x1b[31mred" in "".join(lines)
    assert not any("\x1b" in line or "\n" in line for line in lines)


@pytest.mark.parametrize(
    ("hostile", "written"),
    [
        ("a\nb\r\n", "a\\nb\\r\\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\u2028line", "\\u2028line"),
        ("\ud800 lone", "\\ud800 lone"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("\x00", "\\x00"),
        ("Grüße, 世界 €", "Grüße, 世界 €"),
    ],
    ids=ascii,
)
def test_nothing_deceives_a_terminal(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, hostile: str, written: str
) -> None:
    ours = [each for each in logging.root.handlers if not isinstance(each, LogCaptureHandler)]
    monkeypatch.setattr(logging.root, "handlers", ours)  # a report must be valid UTF-8
    log.info(hostile, value=hostile, **{f"k{hostile}": 1})
    with bind_context(tenant=hostile):
        logging.getLogger("lib").info("%s", hostile)
    own, foreign = capture.lines()
    assert own["msg"] == own["fields"]["value"] == foreign["msg"] == foreign["tenant"] == written
    assert f"k{written}" in own["fields"]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef.ghijkl-SECRET",
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJTRUNSRVQifQ.c2lnLVNFQ1JFVA",  # pragma: allowlist secret
        "postgres://user:SECRET@db.example/x",
        "password=SECRET&x=1",
        "db_password: 'SECRET'",
        '{"client_secret": "SECRET"}',
        "api_key=SECRET",
        "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----",
        "Basic dXNlcjpTRUNSRVQ=SECRET",
        "refresh_token=SECRET;",
    ],
)
def test_secrets_in_texts_are_masked(capture: Capture, text: str) -> None:
    log.info(text, note=text, nested={"list": [text]})
    logging.getLogger("lib").info("see %s", text)
    raw = capture.raw.getvalue()
    assert b"SECRET" not in raw
    assert b"dXNlcj" not in raw
    assert b"***" in raw


@pytest.mark.parametrize(
    "name",
    [
        *("password", "db_password", "accessToken", "Authorization", "cookie", "API_KEY"),
        *("set-cookie", "private_key", "clientSecret", "jwt", "enrolment_code", "passphrase"),
        "X-Api-Key",
    ],
)
def test_fields_named_like_secrets_are_masked(capture: Capture, name: str) -> None:
    log.info("x", **{name: "hunter2"}, deep={"inner": {name: ["hunter2"]}})
    assert b"hunter2" not in capture.raw.getvalue()


@pytest.mark.parametrize("name", ["symbol", "keyboard", "secretary", "monkey", "tokenised"])
def test_other_fields_are_shown(capture: Capture, name: str) -> None:
    log.info("x", **{name: "shown"})
    assert capture.line()["fields"][name] == "shown"


def test_a_secret_object_never_shows(capture: Capture) -> None:
    log.info("x %s", Secret("hunter2"), value=Secret("hunter2"), more=[Secret(b"hunter2")])
    assert b"hunter2" not in capture.raw.getvalue()


def test_every_value_becomes_bounded_json(capture: Capture) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    endless: list[object] = []
    endless.append(endless)
    log.info(
        "x" * 20_000,
        none=None,
        yes=True,
        big=1 << 90,
        nan=float("nan"),
        price=Decimal("1.08345"),
        id=TENANT,
        path=Path("/tmp/x"),  # noqa: S108
        raw=b"\x00\x01",
        broken=Broken(),
        endless=endless,
        many=list(range(1_000)),
        long="y" * 10_000,
        error=SPEC.error(what="it"),
    )
    line = capture.line()
    fields = line["fields"]
    assert len(line["msg"]) < 8_300
    assert (fields["none"], fields["yes"], fields["big"]) == (None, True, hex(1 << 90))
    assert (fields["nan"], fields["price"], fields["id"]) == ("nan", "1.08345", str(TENANT))
    assert (fields["path"], fields["raw"]) == ("/tmp/x", "<2 bytes>")  # noqa: S108
    assert fields["broken"] == "<unprintable Broken: RuntimeError>"
    assert json.dumps(fields["endless"]).count("[") == 4
    assert len(fields["many"]) == 65
    assert len(fields["long"]) < 2_200


def test_a_line_has_a_limit(capture: Capture) -> None:
    log.info("x", **{f"field{number}": "y" * 2_000 for number in range(60)})
    assert len(capture.raw.getvalue()) < 65_536
    assert "truncated" in capture.line()["fields"]
    assert capture.router.statistics().truncated == 1


def test_levels_filter_and_change_at_run_time() -> None:
    capture = Capture(level="WARNING")
    try:
        log.info("quiet")
        assert not log.is_enabled_for(logging.INFO)
        capture.router.set_level("debug")
        log.debug("loud")
        with pytest.raises(AitradingError) as caught:
            capture.router.set_level("chatty")
        assert caught.value.code == "LOG_LEVEL_UNKNOWN"
    finally:
        capture.router.close()
    assert [line["msg"] for line in capture.lines()] == ["loud"]


def test_a_disabled_level_does_not_look_at_its_arguments() -> None:
    capture = Capture(level="INFO")
    try:
        log.debug("x %s", SimpleNamespace(__str__=None), value=object())
    finally:
        capture.router.close()
    assert capture.lines() == []


class FullStream(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_refuses_is_counted_not_raised() -> None:
    router = configure_logging(
        service="s", instance="i", clock=ManualClock(), stream=FullStream(), level="INFO"
    )
    try:
        log.info("lost")
        assert router.statistics().dropped == 1
    finally:
        router.close()


def test_closing_gives_the_process_back() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    capture = Capture()
    assert isinstance(root.handlers[0], LogRouter)
    capture.router.close()
    assert (root.handlers, root.level, sys.excepthook, threading.excepthook) == before


def test_a_thread_that_dies_is_logged(capture: Capture) -> None:
    thread = threading.Thread(target=lambda: 1 / 0, name="worker-7")
    thread.start()
    thread.join()
    line = capture.line()
    assert (line["level"], line["logger"]) == ("CRITICAL", "uncaught")
    assert line["fields"] == {"thread": "worker-7"}
    assert line["exception"][-1] == "ZeroDivisionError: division by zero"


def test_threads_do_not_mix_lines(capture: Capture) -> None:
    threads = [
        threading.Thread(target=lambda: [log.info("x" * 500, n=1) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(capture.lines()) == 800


SCRIPT = """
from aitrading.core.kit.clock import SystemClock
from aitrading.core.logging.optimized_log_router import configure_logging
configure_logging(service="s", instance="i", clock=SystemClock(), level="INFO")
raise ValueError("the end")
"""


@pytest.mark.integration
def test_an_uncaught_exception_of_a_process_is_one_json_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert (line["level"], line["msg"]) == ("CRITICAL", "uncaught exception")
    assert line["exception"][-1] == "ValueError: the end"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(message=st.text(), fields=st.dictionaries(st.text(), json_like, max_size=5))
def test_anything_at_all_is_one_valid_printable_line(
    message: str, fields: dict[str, object]
) -> None:
    capture = Capture()
    try:
        reserved = {"exc_info"}
        log.info(message, **{key: value for key, value in fields.items() if key not in reserved})
        raw = capture.raw.getvalue()
        assert raw.count(b"\n") == 1
        line = capture.line()
        texts = [line["msg"], *walk(line.get("fields", {}))]
        assert all(
            ord(char) >= 32 and not 0x7F <= ord(char) < 0xA0 for text in texts for char in text
        )
    finally:
        capture.router.close()


def walk(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)
    elif isinstance(value, str):
        yield value
