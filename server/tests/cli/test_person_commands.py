"""Commands that act as a person: over TLS, trusting this installation's authority alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.possession import Target, check_proof
from aitrading.server.cli.web import Web

ADMIN = "/internal/v1/admin"
TOKEN = {"token": "t.o.k", "expires_at": "2026-11-21T03:00:00Z", "refresh_token": "r"}
QUOTE = {
    "type": "quote",
    "symbol": "EURUSD",
    "bid": "1.08340",
    "ask": "1.08348",
    "time": "2026-11-21T03:00:00.000000Z",
    "state": "LIVE",
    "provisional": False,
    "sequence": 7,
}
HALTED = {
    "error": {
        "code": "TRADING_NOT_AVAILABLE",
        "message": "Trading is HALTED.",
        "category": "denied",
        "fields": {},
        "remedy": "Use the terminal.",
    }
}
LOGIN = ("login", "--tenant", "demo", "--user", "owner", "--password", "secret", "--server")


@pytest.fixture(autouse=True)
def token(supervisor: Any) -> None:
    supervisor.answers = {f"POST {ADMIN}/tokens": TOKEN}


def test_the_feed_is_live_or_the_answer_is_no(run: Any, api: Any) -> None:
    api.answers = {"GET /api/v1/quotes": (200, {"items": [QUOTE]})}
    result = run("feed", "--for", "demo/owner")
    assert result.exit_code == 0
    assert "1.08340" in result.stdout
    assert api.seen[0][2]["authorization"] == "Bearer t.o.k"
    api.answers = {"GET /api/v1/quotes": (200, {"items": [{**QUOTE, "state": "STALE"}]})}
    assert run("feed", "--for", "demo/owner").exit_code == 1
    held = {"code": "SUBSCRIPTION_INACTIVE", "message": "It is paused.", "remedy": "Renew it."}
    api.answers = {"GET /api/v1/quotes": (200, {"items": [], "source": "held", "held": held})}
    assert "It is paused. Renew it." in run("feed", "--for", "demo/owner").stderr
    api.answers = {"GET /api/v1/quotes": (200, {"items": []})}
    assert run("feed", "--for", "demo/owner").exit_code == 1


def test_each_feed_says_why_and_until_when(run: Any, api: Any) -> None:
    feed = {
        "symbol": "EURUSDm", "state": "CLOSED", "reason": "the market is closed: Christmas",
        "account": "B:1", "market": "CLOSED", "deadline": "2026-12-25T22:00:00.000000Z",
        "last_tick": None, "canonical": "EURUSD", "instrument_class": "forex",
        "market_changes": None, "calendar_mismatch": False,
        "bounds": {"delayed_after_s": 2.5, "learned": True},
    }  # fmt: skip
    api.answers = {"GET /api/v1/feeds": (200, {"items": [feed], "next_cursor": None})}
    result = run("feed", "states", "--for", "demo/owner")
    assert result.exit_code == 0
    for told in ("Christmas", "2026-12-25T22:00:00", "2.5 s learned"):
        assert told in result.stdout
    api.answers = {"GET /api/v1/feeds": (200, {"items": [{**feed, "state": "DEAD"}]})}
    assert run("feed", "states", "--for", "demo/owner").exit_code == 1


def test_an_order_is_refused_in_the_servers_words(run: Any, api: Any) -> None:
    api.answers = {"POST /api/v1/orders": (409, HALTED)}
    result = run("orders", "place", "EURUSD", "buy", "0.1", "--for", "demo/owner")
    assert result.exit_code == 1
    assert "Trading is HALTED." in result.stderr
    assert "TRADING_NOT_AVAILABLE" in result.stderr
    assert api.seen[0][3]["volume"] == "0.1"
    assert api.seen[0][2]["idempotency-key"]


def test_the_kill_switch_is_engaged_without_a_question(run: Any, api: Any) -> None:
    engaged = {"engaged": True, "engaged_by": "u", "engaged_at": "2026-11-21T03:00:00Z"}
    api.answers = {"POST /api/v1/kill": (200, engaged), "GET /api/v1/kill": (200, engaged)}
    assert "ENGAGED" in run("kill", "--for", "demo/owner").stdout
    assert json.loads(run("kill", "status", "--for", "demo/owner", "--json").stdout)["engaged"]


def test_somebody_must_be_named_or_logged_in(run: Any, api: Any) -> None:
    assert api.url
    result = run("orders", "list")
    assert result.exit_code == 1
    assert "LOGIN_NEEDED" in result.stderr


def test_a_login_is_kept_privately_and_used(run: Any, api: Any, tmp_path: Path) -> None:
    tokens = {"access_token": "a1", "refresh_token": "r1", "expires_at": "x"}
    api.answers = {
        "POST /api/v1/auth/login": (200, tokens),
        "GET /api/v1/quotes": (200, {"items": [QUOTE]}),
        "POST /api/v1/auth/logout": (200, None),
    }
    assert run(*LOGIN, api.url).exit_code == 0
    assert api.seen[0][3]["deliver"] == "token"
    stored = tmp_path / "aitrading" / "session.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert run("feed").exit_code == 0
    assert api.seen[1][2]["authorization"] == "Bearer a1"
    assert run("logout").exit_code == 0
    assert not stored.exists()


def test_a_login_is_bound_to_a_key_that_every_request_proves(
    run: Any, api: Any, tmp_path: Path
) -> None:
    tokens = {"access_token": "a1", "refresh_token": "r1", "token_type": "DPoP"}
    api.answers = {
        "POST /api/v1/auth/login": (200, tokens),
        "POST /api/v1/auth/refresh": (200, {**tokens, "access_token": "a2"}),
        "GET /api/v1/quotes": (200, {"items": [QUOTE]}),
    }
    run(*LOGIN, api.url)
    run("feed")
    stored = tmp_path / "aitrading" / "session.json"
    stored.write_text(json.dumps({**json.loads(stored.read_text()), "renew_at_ns": 0}))
    run("feed")
    thumbprints = set()
    tokens_sent = [None, "a1", None, "a2"]
    assert len(api.seen) == len(tokens_sent)
    for (method, path, headers, _), token in zip(api.seen, tokens_sent, strict=True):
        target = Target(
            method=method, host=headers["host"], path=path.partition("?")[0], token=token
        )
        proof = check_proof(headers["dpop"], target, now_ns=SystemClock().now_ns())
        thumbprints.add(proof.thumbprint)
        assert headers.get("authorization") == (token and f"DPoP {token}")
    assert len(thumbprints) == 1


@pytest.mark.parametrize("ahead_s", [-1_700_000_000, 3_600, 86_400])
def test_an_old_login_is_renewed_first(run: Any, api: Any, tmp_path: Path, ahead_s: int) -> None:
    """One whose renewal is further away than its token lives is of a clock that was set back."""
    tokens = {"access_token": "a1", "refresh_token": "r1"}
    api.answers = {
        "POST /api/v1/auth/login": (200, tokens),
        "POST /api/v1/auth/refresh": (200, {"access_token": "a2", "refresh_token": "r2"}),
        "GET /api/v1/quotes": (200, {"items": [QUOTE]}),
    }
    run(*LOGIN, api.url)
    stored = tmp_path / "aitrading" / "session.json"
    session = json.loads(stored.read_text())
    stored.write_text(
        json.dumps({**session, "renew_at_ns": session["renew_at_ns"] + ahead_s * 10**9})
    )
    run("feed")
    assert api.seen[1][3] == {"refresh_token": "r1"}
    assert api.seen[2][2]["authorization"] == "Bearer a2"
    assert "r2" in stored.read_text()


def test_a_token_that_ended_early_is_renewed_once(run: Any, api: Any) -> None:
    tokens = {"access_token": "a1", "refresh_token": "r1"}
    refused = {"error": {"code": "TOKEN_REFUSED", "message": "No.", "category": "denied"}}
    api.answers = {
        "POST /api/v1/auth/login": (200, tokens),
        "POST /api/v1/auth/refresh": (200, {"access_token": "a2", "refresh_token": "r2"}),
        "GET /api/v1/quotes": (401, refused),
    }
    run(*LOGIN, api.url)
    assert "TOKEN_REFUSED" in run("feed").stderr
    sent = [(path, headers.get("authorization")) for _, path, headers, _ in api.seen[1:]]
    assert sent == [
        ("/api/v1/quotes", "Bearer a1"),
        ("/api/v1/auth/refresh", None),
        ("/api/v1/quotes", "Bearer a2"),
    ]


def test_a_damaged_login_file_is_said(run: Any, api: Any, tmp_path: Path) -> None:
    assert api.url
    stored = tmp_path / "aitrading" / "session.json"
    stored.parent.mkdir()
    stored.write_text("{")
    assert "SESSION_FILE_DAMAGED" in run("feed").stderr


def test_another_authority_is_not_trusted(run: Any, api: Any, home: Path) -> None:
    shutil.copy(home / "trust" / "internal-ca.pem", home / "trust" / "edge-ca.pem")
    result = run("feed", "--for", "demo/owner")
    assert result.exit_code == 1
    assert "CLI_SERVER_NOT_TRUSTED" in result.stderr
    assert api.seen == []


def test_a_server_that_is_not_there_is_exit_code_3(run: Any, api: Any) -> None:
    assert api.url
    result = run(*LOGIN, "https://localhost:9")
    assert result.exit_code == 3
    assert "CLI_SERVER_UNREACHABLE" in result.stderr


STEP_UP = {
    "error": {
        "code": "STEP_UP_NEEDED",
        "message": "This needs a proof.",
        "category": "denied",
        "fields": {"max_age_s": 300},
        "remedy": "Prove it.",
    }
}
FACTORS = "/api/v1/auth/factors"


def test_a_login_with_a_second_factor_asks_for_its_code(
    run: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers = {
        "POST /api/v1/auth/login": (202, {"second_factor": {"challenge": "c", "lifetime_s": 300}}),
        "POST /api/v1/auth/second": (200, {"access_token": "a", "refresh_token": "r"}),
    }
    assert run(*LOGIN, api.url, stdin="123456\n").exit_code == 0
    assert api.seen[-1][3] == {"challenge": "c", "code": "123456", "deliver": "token"}
    monkeypatch.setenv("AITRADING_CODE", "654321")
    assert run(*LOGIN, api.url).exit_code == 0
    assert api.seen[-1][3]["code"] == "654321"


def test_who_has_a_security_key_hears_that_it_works_in_the_browser(
    run: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AITRADING_CODE", raising=False)
    waiting = {"challenge": "c", "lifetime_s": 300, "has_key": True}
    key = {"name": "blue key", "host": "trading.example", "added_at": "2026-11-28T10:00:00Z"}
    api.answers = {
        "POST /api/v1/auth/login": (202, {"second_factor": waiting}),
        "POST /api/v1/auth/second": (200, {"access_token": "a", "refresh_token": "r"}),
        f"GET {FACTORS}": (200, {"step_up_with": "code", "security_keys": [key]}),
    }
    login = run(*LOGIN, api.url, stdin="AAAA-BBBB\n")
    assert login.exit_code == 0
    assert "Security keys work in the browser only" in login.stderr
    assert api.seen[-1][3]["code"] == "AAAA-BBBB"
    assert "security key: blue key, for trading.example" in run("factors", "show").stdout


@pytest.mark.parametrize(("kind", "typed"), [("code", "123456"), ("password", "a secret")])
def test_what_needs_a_fresh_proof_is_asked_for_and_repeated(
    run: Any, api: Any, monkeypatch: pytest.MonkeyPatch, kind: str, typed: str
) -> None:
    monkeypatch.delenv("AITRADING_PASSWORD", raising=False)
    api.answers = {"POST /api/v1/auth/login": (200, {"access_token": "old", "refresh_token": "r"})}
    run(*LOGIN, api.url)
    api.answers = {
        f"POST {FACTORS}/recovery-codes": (403, STEP_UP),
        f"GET {FACTORS}": (200, {"step_up_with": kind}),
        "POST /api/v1/auth/step-up": (204, None),
        "POST /api/v1/auth/refresh": (200, {"access_token": "new", "refresh_token": "r2"}),
    }
    refused = run("factors", "recovery-codes", stdin=f"{typed}\n")
    assert refused.exit_code == 1
    asked = [(method, path, body) for method, path, _, body in api.seen[1:]]
    assert asked == [
        ("POST", f"{FACTORS}/recovery-codes", {}),
        ("GET", FACTORS, None),
        ("POST", "/api/v1/auth/step-up", {kind: typed}),
        ("POST", "/api/v1/auth/refresh", {"refresh_token": "r"}),
        ("POST", f"{FACTORS}/recovery-codes", {}),
    ]
    assert api.seen[-1][2]["authorization"].endswith(" new")


def test_an_app_is_set_up_at_the_keyboard(run: Any, api: Any) -> None:
    api.answers = {"POST /api/v1/auth/login": (200, {"access_token": "a", "refresh_token": "r"})}
    run(*LOGIN, api.url)
    api.answers = {
        f"POST {FACTORS}/totp": (
            200,
            {"secret": "ABC234", "uri": "otpauth://totp/x?secret=ABC234"},
        ),
        f"POST {FACTORS}/totp/confirm": (200, {"recovery_codes": ["AAAA-BBBB"]}),
        f"GET {FACTORS}": (200, {"recovery_codes_left": 9, "step_up_with": "code"}),
        f"DELETE {FACTORS}/totp": (204, None),
    }
    made = run("factors", "setup", stdin="123456\n")
    assert made.stdout == "AAAA-BBBB\n", made.stderr
    assert "ABC234" in made.stderr
    assert "▀" in made.stderr or "█" in made.stderr
    assert api.seen[-1][3] == {"code": "123456"}
    assert "recovery codes left: 9" in run("factors", "show").stdout
    assert run("factors", "remove").exit_code == 0


def test_each_request_of_a_command_may_be_asked_for_a_fresh_proof(api: Any, home: Path) -> None:
    path, asked = "/api/v1/auth/factors/totp/confirm", []

    def prove(web: Web) -> str:
        asked.append(web.url)
        return "new"

    web = Web(api.url, home / "trust" / "edge-ca.pem", "old")
    web.prove = prove
    api.answers = {f"POST {path}": (401, {"error": {"code": "TOKEN_REFUSED", "message": "no"}})}
    with pytest.raises(AitradingError, match="TOKEN_REFUSED"):
        web.post(path, {}, Any)
    api.answers = {f"POST {path}": (403, STEP_UP)}
    for times in (1, 2):
        with pytest.raises(AitradingError, match="STEP_UP_NEEDED"):
            web.post(path, {}, Any)
        assert len(asked) == times, "another error before, or a proof before, changes nothing"


def test_a_password_is_changed_at_the_keyboard_and_the_login_goes_on(
    run: Any, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AITRADING_PASSWORD", raising=False)
    monkeypatch.delenv("AITRADING_NEW_PASSWORD", raising=False)
    api.answers = {"POST /api/v1/auth/login": (200, {"access_token": "a", "refresh_token": "r"})}
    run(*LOGIN, api.url)
    api.answers = {
        "POST /api/v1/auth/password": (200, {"sessions_ended": 2}),
        "POST /api/v1/auth/refresh": (200, {"access_token": "new", "refresh_token": "r2"}),
    }
    changed = run("password", "--json", stdin="first typed\nthen typed\nthen typed\n")
    assert json.loads(changed.stdout) == {"sessions_ended": 2}, changed.stderr
    assert "first typed" not in changed.stderr
    assert "then typed" not in changed.stderr
    [change, renewal] = [(path, body) for _, path, _, body in api.seen[1:]]
    wanted = {"old_password": "first typed", "new_password": "then typed"}
    assert change == ("/api/v1/auth/password", wanted)
    assert renewal == ("/api/v1/auth/refresh", {"refresh_token": "r"})
    stored = tmp_path / "aitrading" / "session.json"
    assert json.loads(stored.read_text())["access_token"] == "new"  # noqa: S105


def test_own_sessions_are_listed_and_ended(run: Any, api: Any) -> None:
    api.answers = {"POST /api/v1/auth/login": (200, {"access_token": "a", "refresh_token": "r"})}
    run(*LOGIN, api.url)
    one = "01a22384-c56f-7608-9582-7d0f1cce5c46"
    known = {"id": one, "current": True, "authentication": "pwd", "network": "private"}
    moment = {"began_at": "2026-11-21T03:00:00Z", "used_at": "2026-11-21T04:00:00Z"}
    sessions = "/api/v1/auth/sessions"
    api.answers = {
        f"GET {sessions}": (200, {"items": [{**known, **moment}]}),
        f"DELETE {sessions}": (200, {"sessions_ended": 2}),
        f"DELETE {sessions}/{one}": (204, None),
    }
    shown = run("sessions", "list")
    assert "2026-11-21 04:00:00Z" in shown.stdout, shown.stderr
    assert "this one" in shown.stdout
    assert json.loads(run("sessions", "end", one, "--json").stdout) == {"sessions_ended": 1}
    assert json.loads(run("sessions", "end", "--others", "--json").stdout) == {"sessions_ended": 2}
    for wrong in ((), (one, "--others")):
        assert run("sessions", "end", *wrong).exit_code == 2


RULES = {"networks": ["10.0.0.0/8"], "second_factor": "nobody", "admit_you": True}


def test_rules_of_logins_are_shown_and_changed_one_by_one(run: Any, api: Any) -> None:
    path = "/api/v1/auth/rules"
    api.answers = {"POST /api/v1/auth/login": (200, {"access_token": "a", "refresh_token": "r"})}
    run(*LOGIN, api.url)
    api.answers = {
        f"GET {path}": (200, RULES),
        f"PUT {path}": (200, {**RULES, "admit_you": False}),
    }
    assert "networks: 10.0.0.0/8" in run("login-rules", "show").stdout
    assert json.loads(run("login-rules", "show", "--json").stdout) == RULES
    changed = run("login-rules", "set", "--second-factor", "all")
    assert "You are outside" in changed.stderr
    wanted = {"networks": ["10.0.0.0/8"], "second_factor": "all", "even_without_me": False}
    assert api.seen[-1][3] == wanted
    run("login-rules", "set", "--everywhere", "--even-without-me")
    assert api.seen[-1][3] == {"networks": [], "second_factor": "nobody", "even_without_me": True}
    run("login-rules", "set", "--network", "192.0.2.0/24", "--network", "2001:db8::/32")
    assert api.seen[-1][3]["networks"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert run("login-rules", "set", "--everywhere", "--network", "x").exit_code == 2


def test_who_lacks_a_second_factor_is_told_at_the_login(run: Any, api: Any) -> None:
    tokens = {"access_token": "a", "refresh_token": "r", "second_factor_missing": True}
    api.answers = {"POST /api/v1/auth/login": (200, tokens)}
    assert "aitrading factors setup" in run(*LOGIN, api.url).stderr
