"""The read surface of the store, and settings of one organisation, as their users meet them."""

from typing import Any, Final
from urllib.parse import urlencode

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NASTY: Final = (
    "'; DROP TABLE x; --",
    '"',
    "a\x00b",
    "../../etc/passwd",
    "%",
    "\U0001d54a" * 300,
    "$1",
    "{}",
)
SETTING: Final = "reads.pages_per_minute"


def records(platform: Platform, kind: str, person: str, **query: Any) -> tuple[int, Any]:
    return platform.request("GET", f"/api/v1/store/{kind}?{urlencode(query)}", person=person)


def test_pages_follow_each_other_without_a_hole_or_a_double(platform: Platform) -> None:
    whole = platform.cli_json("store", "show", "users", "--tenant", "demo")["items"]
    paged, cursor = [], ""
    while True:
        page = platform.cli_json(
            "store", "show", "users", "--tenant", "demo", "--limit", "1", "--cursor", cursor
        )
        paged += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(whole) > 1
    assert paged == whole


def test_a_condition_chooses_by_a_column(platform: Platform) -> None:
    page = platform.cli_json(
        "store", "show", "users", "--tenant", "demo", "--where", "role:viewer"
    )
    assert [each["role"] for each in page["items"]] == ["viewer"]


def test_streams_tell_what_is_stored_of_them(platform: Platform) -> None:
    def stored() -> dict[str, Any]:
        page = platform.cli_json("store", "show", "streams", "--tenant", "demo")
        return {each["symbol"]: each for each in page["items"] if each["ticks"]}

    found = wait_until(stored, what="stored ticks of a stream")
    for stream in found.values():
        assert (stream["ticks"], stream["ranges"]) == (stream["last_sequence"], 1)


def test_everybody_sees_their_own_records_only(platform: Platform) -> None:
    own = {
        person: records(platform, "users", person)[1]["items"]
        for person in ("demo/owner", "other/owner")
    }
    assert all(own.values())
    ids = [each["id"] for items in own.values() for each in items]
    assert len(ids) == len(set(ids))
    assert records(platform, "users", "demo/trader")[0] == 403


@pytest.fixture(scope="module")
def operator(platform: Platform) -> str:
    platform.cli("tenant", "create", "platform")
    platform.cli("user", "create", "operator", "--tenant", "platform", "--role", "owner")
    return "platform/operator"


def test_operators_see_how_a_metric_of_the_running_platform_grew(
    platform: Platform, operator: str
) -> None:
    path = "/api/v1/metrics/history?name=aitrading_database_ticks_stored_total&step=1"

    def grown() -> bool:
        items = platform.get(path, person=operator)["items"]
        assert all(each["grown"] >= 0 for each in items)
        return any(each["grown"] > 0 for each in items)

    wait_until(grown, what="two samples of a growing counter", timeout_s=90)
    status, answer = platform.request("GET", path, person="demo/owner")
    assert (status, answer["error"]["code"]) == (403, "OPERATOR_NEEDED")
    base = "/api/v1/metrics/history"
    for bad in ("", "name=a&step=0", "name=a&step=x", "name=a&from=yesterday", "name=%27%3B--"):
        status, answer = platform.request("GET", f"{base}?{bad}", person=operator)
        assert (status, answer["error"]["code"]) == (400, "REQUEST_INVALID"), bad


def test_what_concerns_the_installation_is_for_its_operators(
    platform: Platform, operator: str
) -> None:
    status, answer = records(platform, "tenants", operator)
    assert status == 200
    assert {"demo", "other", "platform"} <= {each["name"] for each in answer["items"]}
    for kind in ("tenants", "nonsense"):
        status, answer = records(platform, kind, "demo/owner")
        assert (status, answer["error"]["code"]) == (404, "RECORD_KIND_UNKNOWN")
    kinds = platform.get("/api/v1/store", person="demo/owner")["items"]
    assert not any(each["operators_only"] for each in kinds)


@pytest.mark.parametrize("text", NASTY)
def test_no_text_reaches_the_database_as_anything_but_a_value(
    platform: Platform, text: str
) -> None:
    for query in ({"where": f"state:{text}"}, {"where": text}, {"cursor": text}, {"limit": text}):
        status, answer = records(platform, "users", "demo/owner", **query)
        assert status in {200, 400}, (query, answer)
        if "where" in query and status == 200:
            assert answer["items"] == []
    status, _ = platform.request(
        "GET", f"/api/v1/store/{urlencode({'': text})[1:]}", person="demo/owner"
    )
    assert status in {400, 404}


def test_no_kind_shows_a_secret_or_a_name_of_a_person(platform: Platform) -> None:
    kinds = platform.cli_json("store", "list")
    hidden = {"password_hash", "hash", "public_key", "certificate_sha256", "login", "display_name"}
    for kind in kinds:
        columns = {column["name"] for column in kind["columns"]}
        assert kind["meaning"], kind["name"]
        assert not columns & hidden, kind["name"]
        if kind["name"] in {"users", "devices", "accounts"}:
            assert "name" not in columns


def test_a_setting_of_one_organisation_acts_there_alone(platform: Platform) -> None:
    platform.cli("tenant", "create", "thrifty")
    platform.cli("user", "create", "owner", "--tenant", "thrifty", "--role", "owner")

    def read(person: str) -> int:
        return platform.request("GET", "/api/v1/ticks?symbol=NOSUCH", person=person)[0]

    granted = platform.cli_json("config", "tenant", "set", SETTING, "2", "--tenant", "thrifty")
    assert [(each["setting"], each["value"]) for each in granted["items"]] == [(SETTING, 2)]
    assert platform.cli_json("config", "tenant", "list", "--tenant", "demo")["items"] == []
    answers = [read("thrifty/owner") for _ in range(5)]
    assert answers[-1] == 429  # a new minute may begin once in between
    assert answers.count(429) >= 1
    assert read("other/owner") == 404
    shown = platform.cli_json("store", "show", "settings", "--tenant", "thrifty")["items"]
    assert [each["setting"] for each in shown] == [SETTING]
    rest = platform.cli_json("config", "tenant", "unset", SETTING, "--tenant", "thrifty")
    assert rest["items"] == []
    assert read("thrifty/owner") == 404


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        (SETTING, "0", "TENANT_SETTING_REFUSED"),
        (SETTING, "many", "TENANT_SETTING_REFUSED"),
        ("postgres.max_connections", "3", "TENANT_SETTING_REFUSED"),
        ("nonsense.setting", "3", "TENANT_SETTING_REFUSED"),
    ],
)
def test_a_wrong_setting_changes_nothing(
    platform: Platform, setting: str, value: str, code: str
) -> None:
    done = platform.cli("config", "tenant", "set", setting, value, "--tenant", "other")
    assert done.returncode == 1
    assert code in done.stderr
    assert platform.cli_json("config", "tenant", "list", "--tenant", "other")["items"] == []


def test_the_schema_of_a_running_platform_is_complete(platform: Platform) -> None:
    told = platform.cli_json("migrations", "status")
    assert {each["applied"] for each in told} == {True}
    assert {"0001_foundation.sql", "0016_commit_receipts.sql"} <= {each["file"] for each in told}
    assert platform.cli_json("migrations", "rehearse") == []
