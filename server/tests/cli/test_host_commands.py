"""Commands of the host's administrator, through a real administration socket."""

import json
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.server.kit.database_errors import DATABASE_CONNECTION_LOST
from aitrading.server.supervisor.state import ChainState, ChildState, PlatformState

EXISTS = ErrorSpec(
    code="IDENTITY_EXISTS",
    category=Category.DENIED,
    message="The organisation {name} exists already.",
    why="",
    remedy="Use another name.",
)
ADMIN = "/internal/v1/admin"
ID = "01a1fc43-4dd0-7f20-ac28-c3adbb4bea5d"
TENANT = {"id": ID, "name": "demo", "state": "active", "created_at": "2026-11-21T03:00:00Z"}
CHAIN = {
    "name": "market-data",
    "description": "A tick.",
    "state": "DEGRADED",
    "hops": [
        {
            "name": "bridge-spool",
            "service": "data-bridge",
            "kind": "disk",
            "state": "DEGRADED",
            "reason": "p99 is over the budget of 100 ms",
            "count": 10,
            "failed": 0,
            "p50_ms": 1.5,
            "p99_ms": 120.25,
            "last_seen": "2026-11-21T03:00:00.000000Z",
            "last_trace_id": None,
        }
    ],
}


def test_a_tenant_is_created_and_listed(run: Any, supervisor: Any) -> None:
    supervisor.answers = {
        f"POST {ADMIN}/tenants": TENANT,
        f"GET {ADMIN}/tenants": [TENANT],
    }
    assert "demo" in run("tenant", "create", "demo").stdout
    assert supervisor.calls[0]["peer"] == "api-gateway"
    assert supervisor.calls[0]["body"] == {"name": "demo"}
    assert json.loads(run("tenant", "list", "--json").stdout)[0]["name"] == "demo"


def test_a_refusal_is_an_answer(run: Any, supervisor: Any) -> None:
    supervisor.answers = {f"POST {ADMIN}/tenants": EXISTS.error(name="demo")}
    result = run("tenant", "create", "demo")
    assert result.exit_code == 1
    assert "The organisation demo exists already." in result.stderr
    assert "Use another name." in result.stderr


def test_a_generated_password_is_shown_once(run: Any, supervisor: Any) -> None:
    ends = {"password_ends_at": "2026-11-24T03:00:00Z"}
    made = {
        "user": ID,
        "name": "bob",
        "password": "correct-horse",
        **ends,
    }  # pragma: allowlist secret
    supervisor.answers = {f"POST {ADMIN}/users": made, f"POST {ADMIN}/users/password": made}
    created = run("user", "create", "bob", "--tenant", "demo")
    assert "correct-horse" in created.stdout
    assert "until 2026-11-24 03:00 UTC" in created.stderr
    assert supervisor.calls[0]["body"]["role"] == "viewer"
    assert "correct-horse" in run("user", "reset-password", "demo/bob").stdout
    assert supervisor.calls[1]["body"] == {"tenant": "demo", "user": "bob"}


def test_who_did_not_come_in_time_is_shown_with_the_way_out(run: Any, supervisor: Any) -> None:
    person = {"id": ID, "display_name": "B", "role": "viewer", "state": "active"}
    person |= {"created_at": "2026-11-21T03:00:00Z", "password_ends_at": "2026-11-24T03:00:00Z"}
    people = [
        {**person, "name": "bob", "password_ended": True},
        {**person, "name": "eve", "password_ended": False},
        {**person, "name": "joe", "password_ended": False, "password_ends_at": None},
    ]
    supervisor.answers = {f"GET {ADMIN}/users": people}
    listed = run("user", "list", "--tenant", "demo")
    rows = {line.split()[0]: line for line in listed.stdout.splitlines() if line.strip()}
    assert "ended 2026-11-24 03:00" in rows["bob"]
    assert "2026-11-24 03:00" in rows["eve"]
    assert "own" in rows["joe"]
    assert "aitrading user reset-password demo/bob" in listed.stderr
    assert "demo/eve" not in listed.stderr
    told = json.loads(run("user", "list", "--tenant", "demo", "--json").stdout)
    assert [each["password_ended"] for each in told] == [True, False, False]


def test_a_user_without_an_organisation_is_resolved_only_when_clear(
    run: Any, supervisor: Any
) -> None:
    token = {"token": "t.o.k", "expires_at": "2026-11-21T03:00:00Z", "refresh_token": "r"}
    supervisor.answers = {f"GET {ADMIN}/tenants": [TENANT], f"POST {ADMIN}/tokens": token}
    assert run("token", "--for", "owner").stdout == "t.o.k\n"
    supervisor.answers[f"GET {ADMIN}/tenants"] = [TENANT, {**TENANT, "name": "other"}]
    result = run("token", "--for", "owner")
    assert result.exit_code == 1
    assert "demo, other" in result.stderr


def test_a_device_is_invited_and_revoked(run: Any, supervisor: Any) -> None:
    supervisor.answers = {
        f"POST {ADMIN}/devices/invite": {"device": ID, "code": "ait1.x.y"},
        f"POST {ADMIN}/devices/revoke": {"done": True},
    }
    assert run("device", "invite", "mt5-1", "--tenant", "demo").stdout == "ait1.x.y\n"
    assert run("device", "revoke", ID, "--tenant", "demo").exit_code == 0
    assert supervisor.calls[1]["body"] == {"tenant": "demo", "device": ID}


def test_a_device_is_named_by_its_name_where_that_says_which(run: Any, supervisor: Any) -> None:
    def known(number: int, name: str, state: str = "active") -> dict[str, str]:
        return {"device": str(UUID(int=number)), "name": name, "state": state}

    supervisor.answers = {
        f"GET {ADMIN}/devices": [
            known(1, "mt5-1"), known(2, "mt5-1", "revoked"), known(3, "old", "revoked"),
            known(4, "old", "revoked"), known(5, "mt5-2"),
        ],
        f"POST {ADMIN}/devices/revoke": {"done": True},
        f"POST {ADMIN}/devices/settings": {"done": True},
        f"GET {ADMIN}/devices/settings": {},
    }  # fmt: skip
    assert run("device", "revoke", "mt5-1", "--tenant", "demo").exit_code == 0
    assert supervisor.calls[-1]["body"] == {"tenant": "demo", "device": str(UUID(int=1))}
    unknown = run("device", "revoke", "mt5-9", "--tenant", "demo")
    assert unknown.exit_code == 1
    assert "DEVICE_NOT_KNOWN" in unknown.stderr
    assert "device list" in unknown.stderr
    several = run("device", "revoke", "old", "--tenant", "demo")
    assert str(UUID(int=4)) in several.stderr
    given = ("link.heartbeat_s", "9", "--tenant", "demo", "--device", "mt5-2")
    assert run("device", "settings", "set", *given).exit_code == 0
    assert supervisor.calls[-2]["body"]["device"] == str(UUID(int=5))


KEY = {
    "id": ID,
    "name": "robot",
    "proof": "secret",
    "scopes": ["read", "trade"],
    "created_at": "2026-11-21T03:00:00Z",
    "expires_at": "2027-02-19T03:00:00Z",
    "revoked_at": None,
    "last_used_at": None,
}


def test_a_key_of_a_program_is_shown_once_listed_and_revoked(run: Any, supervisor: Any) -> None:
    made = {**KEY, "key": "ait_once"}  # pragma: allowlist secret
    supervisor.answers = {
        f"POST {ADMIN}/api-keys": made,
        f"GET {ADMIN}/api-keys": [KEY],
        f"POST {ADMIN}/api-keys/revoke": {"done": True},
    }
    given = ("--scope", "read", "--scope", "trade", "--days", "7")
    shown = run("apikey", "create", "robot", "--tenant", "demo", *given)
    assert "ait_once" in shown.stdout, shown.stderr
    wanted = {"tenant": "demo", "name": "robot", "scopes": ["read", "trade"], "days": 7}
    assert supervisor.calls[0]["body"] == wanted
    (listed,) = json.loads(run("apikey", "list", "--tenant", "demo", "--json").stdout)
    assert (listed["name"], listed["scopes"]) == ("robot", ["read", "trade"])
    assert "robot" in run("apikey", "list", "--tenant", "demo").stdout
    ended = run("apikey", "revoke", ID, "--tenant", "demo", "--json")
    assert json.loads(ended.stdout) == {"key": ID, "revoked": True}
    assert supervisor.calls[-1]["body"] == {"tenant": "demo", "key": ID}


def test_a_key_of_a_program_needs_a_scope_that_there_is(run: Any, supervisor: Any) -> None:
    of_demo = ("apikey", "create", "robot", "--tenant", "demo")
    assert run(*of_demo).exit_code == 2
    assert run(*of_demo, "--scope", "root").exit_code == 2
    assert run("apikey", "revoke", "no-uuid", "--tenant", "demo").exit_code == 2
    assert supervisor.calls == []
    supervisor.answers = {f"POST {ADMIN}/api-keys": EXISTS.error(name="demo")}
    refused = run(*of_demo, "--scope", "read")
    assert refused.exit_code == 1
    assert "Use another name." in refused.stderr


def test_a_login_link_names_the_page(run: Any, supervisor: Any) -> None:
    supervisor.url = "https://localhost:8000"
    supervisor.answers = {f"POST {ADMIN}/login-link": {"code": "abc", "lifetime_s": 600}}
    assert run("user", "link", "demo/owner").stdout == "https://localhost:8000/login#link=abc\n"


@pytest.mark.parametrize(
    ("status", "ready", "said", "code"),
    [
        (ComponentState.HEALTHY, True, "  ready, since", 0),
        (ComponentState.DEGRADED, True, "  ready, but not everything works, since", 1),
        (ComponentState.FAILED, False, "  not ready, since", 1),
    ],
)
def test_the_status_is_good_only_while_everything_is(
    run: Any, supervisor: Any, status: ComponentState, ready: bool, said: str, code: int
) -> None:
    part = ChildState(state=status, message="bus DEGRADED: reconnecting\nlast words")
    supervisor.health = PlatformState(
        ready=ready,
        started_in_s=1.0,
        services={"data-bridge": part},
        engines={},
        status=status,
        problems=("The page calls it FAILED.",),
    )
    done = run("status")
    assert done.exit_code == code
    assert said in done.stdout
    assert "bus DEGRADED: reconnecting" in done.stdout
    assert "problem: The page calls it FAILED." in done.stderr
    as_json = run("status", "--json")
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout)["status"] == status


def test_the_status_shows_each_chain_beside_the_parts(run: Any, supervisor: Any) -> None:
    supervisor.health = PlatformState(
        ready=True,
        started_in_s=1.0,
        services={"data-bridge": ChildState(state=ComponentState.HEALTHY)},
        engines={},
        chains={
            "market-data": ChainState(
                state="FAILED", since="2026-11-29T12:00:00Z", fault="bridge-spool in data-bridge"
            )
        },
        status=ComponentState.DEGRADED,
    )
    done = run("status")
    assert done.exit_code == 1
    [line] = [line for line in done.stdout.splitlines() if "chain market-data" in line]
    assert "FAILED" in line
    assert "since 2026-11-29T12:00:00Z: bridge-spool in data-bridge" in line


def test_a_chain_without_a_name_is_a_mistake_of_the_command_line(run: Any) -> None:
    done = run("chains", "show", "")
    assert done.exit_code == 2
    assert "aitrading chains" in done.stderr


def test_a_custom_chain_comes_from_a_file_and_goes(
    run: Any, supervisor: Any, tmp_path: Any
) -> None:
    hop = {"name": "a", "service": "data-bridge", "kind": "call"}
    chain = {"name": "own way", "description": "", "hops": [hop]}
    address = f"{ADMIN}/chain-graph/chains"
    supervisor.answers = {
        f"POST {address}": {"origin": "custom", "definition": chain},
        f"DELETE {address}/own%20way": None,
    }
    file = tmp_path / "chain.json"
    wrong = {**chain, "hops": [{**hop, "kind": "wish"}]}
    for text in ("", "[]", json.dumps(wrong), "x" * 70_000, json.dumps({"name": "a"})):
        file.write_text(text)
        refused = run("chains", "define", str(file))
        assert refused.exit_code == 1
        assert "CHAIN_FILE_REFUSED" in refused.stderr
    assert supervisor.calls == []
    file.write_text(json.dumps(chain))
    assert "own way is kept." in run("chains", "define", str(file)).stderr
    assert (supervisor.calls[0]["body"], supervisor.calls[0]["peer"]) == (
        chain,
        "database-service",
    )
    assert "own way is removed." in run("chains", "remove", "own way").stderr


def test_an_ill_chain_is_exit_code_1_and_says_why(run: Any, supervisor: Any) -> None:
    supervisor.answers = {f"GET {ADMIN}/chains/market-data": CHAIN}
    result = run("chains", "show", "market-data")
    assert result.exit_code == 1
    assert "120.25" in result.stdout
    assert "p99 is over the budget of 100 ms" in result.stdout
    supervisor.answers = {f"GET {ADMIN}/chains/market-data": {**CHAIN, "state": "HEALTHY"}}
    result = run("chains", "show", "market-data", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["hops"][0]["p50_ms"] == 1.5


@pytest.mark.parametrize(("command", "state"), [("suspend", "suspended"), ("activate", "active")])
def test_an_organisation_is_kept_out_and_let_in(
    run: Any, supervisor: Any, command: str, state: str
) -> None:
    supervisor.answers = {f"POST {ADMIN}/tenants/state": {"done": True}}
    assert f"demo is {state}." in run("tenant", command, "demo").stderr
    assert supervisor.calls[0]["body"] == {"tenant": "demo", "state": state}


def test_an_erasure_asks_for_the_name_again(run: Any, supervisor: Any) -> None:
    done = {"tenant": ID, "sessions_ended": 2, "devices_revoked": 1}
    supervisor.answers = {f"POST {ADMIN}/tenants/erase": done}
    assert run("tenant", "erase", "demo", stdin="").exit_code != 0
    assert supervisor.calls == [], "nobody typed a name"
    asked = run("tenant", "erase", "demo", stdin="demi\n")
    assert "Type the name" in asked.stderr
    assert "Backups made before still have its key" in asked.stderr
    assert (
        json.loads(run("tenant", "erase", "demo", "--yes-erase", "demo", "--json").stdout) == done
    )
    sent = [call["body"]["confirm"] for call in supervisor.calls]
    assert sent == ["demi", "demo"], "what was typed decides, on the server"


def test_the_host_engages_the_kill_switch_of_any_organisation(run: Any, supervisor: Any) -> None:
    engaged = {"engaged": True, "engaged_by": "host:admin", "engaged_at": "2026-11-21T03:00:00Z"}
    supervisor.answers = {f"GET {ADMIN}/tenants": [TENANT], f"POST {ADMIN}/kill": engaged}
    assert "ENGAGED by host:admin" in run("kill", "--tenant", "demo").stdout
    assert supervisor.calls[-1]["peer"] == "trading-engine"
    assert supervisor.calls[-1]["body"] == {"tenant": ID}
    unknown = run("kill", "--tenant", "nobody")
    assert unknown.exit_code == 1
    assert "tenant list" in unknown.stderr


@pytest.mark.parametrize("state", ["suspended", "active"])
def test_a_person_is_kept_out_and_let_in(run: Any, supervisor: Any, state: str) -> None:
    supervisor.answers = {f"POST {ADMIN}/users/state": {"done": True}}
    command = {"suspended": "suspend", "active": "activate"}[state]
    assert run("user", command, "demo/bob").exit_code == 0
    assert supervisor.calls[0]["body"]["state"] == state


def test_a_person_gets_another_role(run: Any, supervisor: Any) -> None:
    supervisor.answers = {f"POST {ADMIN}/users/role": {"done": True}}
    assert "demo/bob is trader." in run("user", "set-role", "demo/bob", "trader").stderr
    assert supervisor.calls[0]["body"] == {"tenant": "demo", "user": "bob", "role": "trader"}
    assert run("user", "set-role", "demo/bob", "root").exit_code == 2


def test_an_account_gets_another_device_or_none(run: Any, supervisor: Any) -> None:
    account = {
        "id": ID,
        "name": "Demo",
        "broker_server": "B",
        "login": "1",
        "currency": "EUR",
        "margin_mode": "hedging",
        "simulated": True,
        "device": ID,
    }
    supervisor.answers = {f"POST {ADMIN}/accounts/device": account}
    command = ("account", "set", ID, "--tenant", "demo")
    assert ID in run(*command, "--device", ID).stdout
    supervisor.answers = {f"POST {ADMIN}/accounts/device": {**account, "device": None}}
    assert run(*command, "--no-device").exit_code == 0
    sent = [call["body"] for call in supervisor.calls]
    named = {"tenant": "demo", "account": ID}
    assert sent == [{**named, "device": ID}, named]
    for wrong in ((), ("--device", ID, "--no-device"), ("--device", "x")):
        assert run(*command, *wrong).exit_code == 2


def test_a_tier_of_logs_is_shown_and_priced(run: Any, supervisor: Any) -> None:
    tier = {
        "tier_name": "hot",
        "technology": "disk",
        "from_day": 0,
        "max_query_latency_ms": 100,
        "capacity_gb": 50,
        "cost_per_gb_month": "0.10",
        "compression_ratio": "1",
        "is_active": True,
        "version": 2,
    }
    logs = "/internal/v1/logs/tiers"
    supervisor.answers = {f"GET {logs}": {"tiers": [tier]}, f"POST {logs}/hot": tier}
    assert "0.10" in run("logs", "tier", "show").stdout
    changed = run("logs", "tier", "set", "hot", "--cost-per-gb-month", "0.10", "--json")
    assert json.loads(changed.stdout)[0]["version"] == 2
    assert supervisor.calls[-1]["body"] == {"cost_per_gb_month": "0.10"}
    assert run("logs", "tier", "set", "lukewarm").exit_code == 2


def test_what_was_used_is_shown_by_day_and_together(run: Any, supervisor: Any) -> None:
    used = {"ticks": 265_015, "streams": 3, "symbols": 2, "devices": 2, "is_final": False}
    usage = {
        "first_day": "2026-11-01",
        "last_day": "2026-11-02",
        "total": used,
        "days": [{"day": "2026-11-02", **used}],
        "ticks_stored": 1_000_000,
    }
    supervisor.answers = {f"GET {ADMIN}/usage": usage}
    shown = run("usage", "--tenant", "demo", "--from", "2026-11-01")
    assert "2026-11-02" in shown.stdout
    assert "counting" in shown.stdout
    assert "1,000,000 ticks" in shown.stderr
    assert supervisor.calls[-1]["query"] == {"tenant": "demo", "from": "2026-11-01"}
    assert (
        json.loads(run("usage", "--tenant", "demo", "--json").stdout)["total"]["ticks"] == 265_015
    )
    usage["total"] = dict.fromkeys(used, 0) | {"is_final": False}
    usage["days"] = []
    assert "nothing counted" in run("usage", "--tenant", "demo").stdout
    assert run("usage").exit_code == 2


def test_a_subscription_is_shown_as_services_are_told_it(run: Any, supervisor: Any) -> None:
    entitled = {
        "user": ID,
        "state": "paused",
        "active": False,
        "tier": "pro",
        "expires_at": None,
        "features": [],
        "version": 2,
    }
    person = {"id": ID, "name": "ann"}
    supervisor.answers = {
        f"GET {ADMIN}/tenants": [TENANT],
        f"GET {ADMIN}/users": [person],
        f"GET /internal/v1/subscriptions/{ID}": entitled,
        f"POST {ADMIN}/subscriptions/state": {"version": 3},
    }
    shown = run("subscription", "show", "demo/ann")
    assert shown.exit_code == 1, "not entitled: the answer is no"
    assert "paused" in shown.stdout
    assert supervisor.calls[-1]["peer"] == "database-service"
    resumed = run("subscription", "resume", "--tenant", "demo", "--user", "ann", "--json")
    assert json.loads(resumed.stdout) == {"state": "active", "version": 3}
    assert supervisor.calls[-1]["body"] == {"tenant": "demo", "user": "ann", "state": "active"}


SEEN = {
    "fingerprint": "0123456789abcdef",
    "code": "DISK_FULL",
    "message": "OSError: <path>",
    "severity": "critical",
    "impact": "market_data",
    "services": ["data-bridge"],
    "occurrences": 3,
    "first_seen": "2026-11-21T03:00:00Z",
    "last_seen": "2026-11-21T03:00:01Z",
    "trace_id": None,
    "resolutions": 1,
}
LIKE = {
    "fingerprint": SEEN["fingerprint"],
    "code": "DISK_FULL",
    "message": "OSError: \x1b[2J",
    "similarity": 0.91,
    "resolutions": ["Moved the spool."],
}


def test_errors_that_happened_are_listed_compared_and_resolved(run: Any, supervisor: Any) -> None:
    path = f"{ADMIN}/errors"
    kept = {"id": ID, "fingerprint": SEEN["fingerprint"], "note": "x", "author": "host:admin"}
    supervisor.answers = {
        f"GET {path}": {"items": [SEEN], "next_cursor": None},
        f"GET {path}/similar": {"items": [LIKE]},
        f"POST {path}/{SEEN['fingerprint']}/resolutions": kept,
    }
    assert "DISK_FULL" in run("errors", "recent").stdout
    shown = run("errors", "lookup", "the disk is full", "--similar").stdout
    assert "Moved the spool." in shown
    assert "\x1b[2J" not in shown
    assert ID in run("errors", "resolve", SEEN["fingerprint"], "x").stdout
    assert {call["peer"] for call in supervisor.calls} == {"database-service"}
    assert supervisor.calls[1]["query"] == {"to": "the disk is full"}


def test_a_lost_store_is_said_and_ends_with_3(run: Any, supervisor: Any) -> None:
    gone = DATABASE_CONNECTION_LOST.error(reason="stopped")
    supervisor.answers = {
        f"GET {ADMIN}/errors/similar": gone,
        f"GET {ADMIN}/chain-graph/impact": gone,
        f"GET {ADMIN}/chain-graph/bottlenecks/market-data": gone,
        f"GET {ADMIN}/chains/market-data": CHAIN,
    }
    for command in (("errors", "lookup", "x", "--similar"), ("chains", "impact", "postgres")):
        result = run(*command)
        assert result.exit_code == 3
        assert "DATABASE_CONNECTION_LOST" in result.stderr
    shown = run("chains", "show", "market-data")
    assert "Slowest hop: bridge-spool" in shown.stdout
    assert "graph of the chains does not answer" in shown.stderr


def test_custom_chains_are_listed_beside_the_measured_ones(run: Any, supervisor: Any) -> None:
    report = {
        "now": "2026-11-21T03:00:00Z",
        "status": "HEALTHY",
        "trading": {"state": "HALTED", "reason": ""},
        "chains": [CHAIN],
    }
    ours = {
        "name": "ours",
        "description": "Copies to the broker.",
        "hops": [{"name": "a", "service": "data-bridge", "kind": "call"}],
    }
    declared = {**ours, "name": "market-data"}
    kept = [
        {"origin": "custom", "definition": ours},
        {"origin": "declared", "definition": declared},
    ]
    supervisor.answers = {
        f"GET {ADMIN}/platform": report,
        f"GET {ADMIN}/chain-graph/chains": {"items": kept},
    }
    shown = run("chains").stdout.splitlines()
    assert [line.split("  ")[0] for line in shown[1:]] == ["market-data", "ours"]
    assert "custom, not measured" in shown[2]
    listed = json.loads(run("chains", "--json").stdout)
    assert [each["name"] for each in listed] == ["market-data", "ours"]
    gone = DATABASE_CONNECTION_LOST.error(reason="stopped")
    supervisor.answers[f"GET {ADMIN}/chain-graph/chains"] = gone
    without = run("chains")
    assert "market-data" in without.stdout
    assert "Custom chains are not listed" in without.stderr


def test_what_breaks_is_told_with_the_way(run: Any, supervisor: Any) -> None:
    way = ["part/postgres", "hop/market-data/database-clickhouse"]
    lost = {"chain": "market-data", "hop": "database-clickhouse", "distance": 1, "way": way}
    supervisor.answers = {
        f"GET {ADMIN}/chain-graph/impact": {
            "part": "postgres",
            "chains": ["market-data"],
            "lost": [lost],
        }
    }
    shown = run("chains", "impact", "postgres").stdout
    assert "broken" in shown
    assert "postgres > market-data/database-clickhouse" in shown


def test_other_networks_of_an_organisation_have_its_tokens_renewed(
    run: Any, supervisor: Any
) -> None:
    supervisor.answers = {
        f"PUT {ADMIN}/settings": {"items": []},
        f"DELETE {ADMIN}/settings/login.networks": {"items": []},
        f"POST {ADMIN}/login-rules/changed": {"done": True},
    }
    of_demo = ("--tenant", "demo")
    changed = {"method": "POST", "path": f"{ADMIN}/login-rules/changed"}
    for given in (("set", "login.networks", "10.0.0.0/8"), ("unset", "login.networks")):
        assert run("config", "tenant", *given, *of_demo).exit_code == 0
        assert changed.items() <= supervisor.calls[-1].items()
        assert supervisor.calls[-1]["body"] == {"tenant": "demo"}
    assert run("config", "tenant", "set", "login.second_factor", "all", *of_demo).exit_code == 0
    assert supervisor.calls[-1]["method"] == "PUT"
