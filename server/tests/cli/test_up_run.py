"""What a start says to the person in front of it."""

from datetime import UTC, datetime

import pytest

from aitrading.server.cli.up_run import _announce_demo  # pyright: ignore[reportPrivateUsage]
from aitrading.server.supervisor.demo.report import DemoLogin, DemoReport


def test_logins_of_the_demo_are_told_with_the_moment_at_which_the_first_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends = (datetime(2026, 12, 3, 9, tzinfo=UTC), datetime(2026, 12, 2, 21, 52, tzinfo=UTC))
    logins = tuple(
        DemoLogin(tenant="demo", user=f"person{number}", password="told", password_ends_at=end)  # noqa: S106  # pragma: allowlist secret
        for number, end in enumerate(ends)
    )
    _announce_demo(DemoReport(logins=logins, link_code="c", link_lifetime_s=600), "https://here")
    told = capsys.readouterr().out
    assert "2026-12-02 21:52 UTC, when these end:" in told
    assert "person1" in told
    _announce_demo(DemoReport(link_code="c", link_lifetime_s=600), "https://here")
    assert "shown only this once" not in capsys.readouterr().out
