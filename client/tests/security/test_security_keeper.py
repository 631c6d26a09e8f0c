"""The keeper: bars new exposure by itself, tells the server, and keeps the client running."""

from pathlib import Path
from typing import Any

import pytest

from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.installation import Installation
from aitrading.client.security.measures import Outcome, Standing
from aitrading.client.security.security_keeper import LOOK_S, TELL_S, SecurityKeeper
from aitrading.client.terminal.availability import AvailabilityLedger, told_availability
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.device_reports import Exposure
from aitrading.core.security.file_manifest import FileManifest, listed, signed_manifest
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

KEY = SigningKey.generate()
STANDINGS = (
    Standing(name="a", against="x", outcome=Outcome.ENFORCED, before=0, after=1),
    Standing(name="b", against="x", outcome=Outcome.REFUSED, why="no"),
    Standing(name="reads-confined", against="x", outcome=Outcome.UNSUPPORTED, why="too old"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "installation"
    (root / "aitrading/client").mkdir(parents=True)
    (root / "aitrading/client/part.py").write_text("VALUE = 1\n")
    files = tuple(listed(root, ["aitrading"]))
    manifest = FileManifest(version="9", made_ms=1, folders=("aitrading",), files=files)
    (root / "aitrading/client/release.manifest").write_bytes(signed_manifest(manifest, KEY))
    return root


def keeper(desk: Any, root: Path) -> SecurityKeeper:
    errors = ErrorHandler(
        clock=desk.clock, randomness=SystemRandomness(), metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )  # fmt: skip
    calls = DeviceCalls(DeviceFiles(desk.home), desk.record, SystemClock())
    return SecurityKeeper(
        calls, lambda: STANDINGS, software="aitrading-client/0", clock=desk.clock, errors=errors,
        installation=Installation(root=root, keys=frozenset({KEY.public.raw.hex()})),
        availability=lambda: told_availability(root / "availability.json"),
    )  # fmt: skip


@async_test
async def test_terminals_availability_is_told_as_it_is_on_the_disk(desk: Any, root: Path) -> None:
    path = root / "availability.json"
    ledger = AvailabilityLedger(path, desk.clock)
    ledger.heard("mt5")
    await desk.clock.advance(60)
    ledger.heard("mt5")
    ledger.store(ledger.encoded())
    await desk.clock.advance(60)
    ledger.heard("mt5")  # measured and not on the disk: a crash would take it back
    kept = keeper(desk, root)
    await kept.start()
    await eventually(lambda: kept.told == 1)
    [told] = desk.server.reports[0]["terminals"]
    assert (told["terminal"], told["up_s"], told["failures"]) == ("mt5", 60.0, 0)
    ledger.store(ledger.encoded())
    await kept.check()
    assert kept.told == 1, "what grows by itself is told within the hour"
    await desk.clock.advance(TELL_S)
    await eventually(lambda: kept.told == 2)
    assert [one["up_s"] for one in desk.server.reports[-1]["terminals"]] == [120.0]
    await kept.stop()


@async_test
async def test_an_altered_file_bars_new_exposure_and_the_server_is_told(
    desk: Any, root: Path
) -> None:
    kept = keeper(desk, root)
    await kept.start()
    await eventually(lambda: kept.told == 1)
    assert kept.state is ComponentState.HEALTHY
    assert kept.statistics()["new_exposure"] == "allowed"
    (reported,) = desk.server.reports
    assert (reported["files"], reported["release"]) == ("intact", "9")
    assert {each["name"]: each["outcome"] for each in reported["measures"]} == {
        "a": "enforced", "b": "refused", "reads-confined": "unsupported"
    }  # fmt: skip
    assert kept.statistics()["measures_refused"] == "b"
    assert kept.statistics()["unconfined"] == "reads-confined: too old"
    assert Path(__file__).name in reported["foreign"], "this test is no part of a client"
    assert __file__ in str(kept.statistics()["foreign_code"])
    (root / "aitrading/client/part.py").write_text("VALUE = 2\n")
    desk.server.is_down = True
    await desk.clock.advance(LOOK_S)
    await eventually(lambda: kept.statistics()["new_exposure"] == "barred")
    assert kept.state is ComponentState.DEGRADED, "it goes on: closing must stay possible"
    desk.server.is_down = False

    async def told_again() -> bool:
        await desk.clock.advance(LOOK_S)  # once more if it was still hearing that nobody is there
        return bool(kept.told == 2)

    await eventually(told_again)
    assert desk.server.reports[-1]["findings"] == ["aitrading/client/part.py was changed"]
    await kept.stop()
    assert kept.state is ComponentState.STOPPED


@async_test
async def test_what_the_server_bars_stays_barred_here(desk: Any, root: Path) -> None:
    kept = keeper(desk, root)
    desk.server.exposure = Exposure(barred=True, reason="somebody said so")
    await kept.start()
    await eventually(lambda: kept.told == 1)
    assert kept.barred_by == "somebody said so"
    await kept.check()
    assert (kept.told, kept.barred_by) == (2, "somebody said so")
    await kept.stop()


@async_test
async def test_an_administrator_who_allows_it_again_is_heard_with_the_next_look(
    desk: Any, root: Path
) -> None:
    kept = keeper(desk, root)
    desk.server.exposure = Exposure(barred=True, reason="somebody said so")
    await kept.start()
    await eventually(lambda: kept.told == 1)
    desk.server.exposure = Exposure(barred=False)
    await kept.check()
    assert (kept.told, kept.barred_by) == (2, "")
    await kept.check()
    assert kept.told == 2, "who is not barred tells what changed, and else once an hour"
    desk.clock.step_wall(-86_400)
    await desk.clock.advance(TELL_S)
    await eventually(lambda: kept.told == 3)
    await kept.stop()
