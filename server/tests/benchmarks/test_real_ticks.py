"""The day that somebody names for bytes a tick: used, absent, or refused with what is wrong with it."""

import asyncio
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from aitrading.core.kit.errors import AitradingError
from aitrading.server.benchmarks import store, ticks
from aitrading.server.benchmarks.real_ticks import (
    REAL_TICKS,
    REAL_TICKS_INVALID,
    given_day,
    real_day,
)
from aitrading.server.cli import main


def zipped(folder: Path, *texts: str) -> Path:
    path = folder / "day.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{number}.csv", text)
    return path


def test_a_day_is_read(tmp_path: Path) -> None:
    rows = real_day(zipped(tmp_path, "0,1284.1,1284.35\n86399999,1285,1285.2\n"))
    assert rows["bid"].tolist() == [1_284_100, 1_285_000]
    assert rows["ask"].tolist() == [1_284_350, 1_285_200]
    assert (rows["event_ms"][1] - rows["event_ms"][0]) == 86_399_999


@pytest.mark.parametrize("given", [None, "", "  "])
def test_no_day_is_given(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure is absent, with its reason."""
    monkeypatch.delenv(REAL_TICKS, raising=False)
    if given is not None:
        monkeypatch.setenv(REAL_TICKS, given)
    assert given_day() is None
    assert asyncio.run(store.real_bytes_per_tick()) is None
    assert REAL_TICKS in ticks.REASONS["ticks.bytes_per_tick"]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ((), "there is no file in the zip"),
        (("",), "its lines are not three numbers each"),
        (("1,2\n",), "its lines are not three numbers each"),
        (("ms,bid,ask\n1,2,3\n",), "could not convert string to float"),
        (("1,2,3\n1,2\n",), "inhomogeneous"),
        (("86400000,2,3\n",), "a time is not from 0 to 86399999 ms"),
        (("nan,2,3\n",), "a time is not from"),
        (("1,0,3\n",), "a price is not above 0"),
        (("1,2,inf\n",), "a price is not above 0"),
        (("1,2,é\n",), "codec can't decode"),
    ],
)
def test_a_day_that_cannot_be_used_is_refused(
    texts: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(AitradingError) as refused:
        real_day(zipped(tmp_path, *texts))
    assert refused.value.spec is REAL_TICKS_INVALID
    assert "day.zip" in refused.value.message
    assert problem in refused.value.message


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "day.csv"
    text.write_text("1,2,3\n")
    for path, problem in (
        (text, "not a zip"),
        (tmp_path / "none.zip", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(AitradingError, match=problem) as refused:
            real_day(path)
        assert refused.value.spec is REAL_TICKS_INVALID


def test_the_command_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REAL_TICKS, str(zipped(tmp_path, "ms,bid,ask\n")))
    done = CliRunner().invoke(main, ["bench", "ticks"])
    assert done.exit_code != 0
    assert "day.zip, cannot be used" in done.stderr
    assert REAL_TICKS_INVALID.remedy in done.stderr


@pytest.mark.integration
def test_a_day_too_short_to_have_a_size_is_no_figure_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REAL_TICKS, str(zipped(tmp_path, "0,1284.1,1284.35\n1,1285,1285.2\n")))
    with pytest.raises(AitradingError, match="2 ticks are too few"):
        asyncio.run(store.real_bytes_per_tick())
