"""The read surface of the store, and settings of one organisation, as their users meet them."""

from typing import Any, Final
from urllib.parse import urlencode

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
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


@pytest.mark.parametrize(
    ("name", "service", "kind"),
    [
        # of one route: other tests have called every one with everything
        (
            "aitrading_http_requests_total&labels=route:/api/v1/auth/me",
            "api-gateway",
            "counter",
        ),
        ("aitrading_http_request_duration_s", "api-gateway", "histogram"),
        ("aitrading_bridge_ticks_received_total", "data-bridge", "counter"),
        ("envoy_http_downstream_rq_total", "envoy", "counter"),
        ("aitrading_child_private_bytes", "supervisor", "gauge"),
        ("aitrading_process_uptime_s", "trading-engine", "gauge"),
    ],
)
def test_operators_see_how_the_metrics_of_every_part_were(
    platform: Platform, operator: str, name: str, service: str, kind: str
) -> None:
    path = f"/api/v1/metrics/history?name={name}&service={service}&step=15"

    def told() -> bool:
        platform.get("/api/v1/auth/me", person=operator)
        history = platform.get(path, person=operator)
        assert (history["kind"], history["resolution"]) == (kind, "samples")
        fields = {"counter": "increase", "histogram": "count", "gauge": "highest"}
        wholes = [each["whole"] for each in history["series"] if each["whole"]]
        return any(whole.get(fields[kind], 0) > 0 for whole in wholes)

    wait_until(told, what=f"{name} of {service} in the history", timeout_s=90)
    metric = name.partition("&")[0]
    shown = platform.cli_json("metrics", "show", metric, "--service", service, "--since", "10m")
    assert {each["service"] for each in shown["series"]} == {service}


def test_questions_about_metrics_are_answered_or_refused_by_name(
    platform: Platform, operator: str
) -> None:
    base = "/api/v1/metrics/history"
    up = "aitrading_process_uptime_s"
    wait_until(lambda: platform.cli_json("metrics", "list"), what="metrics", timeout_s=90)
    refusals = {
        "": (400, "REQUEST_INVALID"),
        "name=a&step=0": (400, "REQUEST_INVALID"),
        "name=a&from=yesterday": (400, "REQUEST_INVALID"),
        "name=%27%3B--": (400, "REQUEST_INVALID"),
        "name=a&labels=x": (400, "REQUEST_INVALID"),
        "name=a&quantiles=2": (400, "REQUEST_INVALID"),
        "name=aitrading_proces_uptime_s": (404, "METRIC_UNKNOWN"),
        f"name={up}&service=nobody": (404, "METRIC_SERVICE_UNKNOWN"),
        f"name={up}&labels=x:y": (404, "METRIC_LABELS_UNKNOWN"),
        f"name={up}&from=1970-01-01T00:00:00Z": (400, "METRIC_RANGE_REFUSED"),
        f"name={up}&from=9999-12-31T23:59:59Z": (400, "METRIC_RANGE_REFUSED"),
        f"name={up}&step=1": (400, "METRIC_STEP_TOO_FINE"),
    }
    for query, expected in refusals.items():
        status, answer = platform.request("GET", f"{base}?{query}", person=operator)
        assert (status, answer["error"]["code"]) == expected, query
    for path in ("/api/v1/metrics", f"{base}?name={up}"):
        status, answer = platform.request("GET", path, person="demo/owner")
        assert (status, answer["error"]["code"]) == (403, "OPERATOR_NEEDED")
    unknown = platform.cli("metrics", "show", "aitrading_proces_uptime_s")
    assert unknown.returncode == 1
    assert up in unknown.stderr


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
    assert 429 in answers  # a new minute may begin once in between
    assert read("other/owner") == 404
    shown = platform.cli_json("store", "show", "settings", "--tenant", "thrifty")["items"]
    assert [each["setting"] for each in shown] == [SETTING]
    rest = platform.cli_json("config", "tenant", "unset", SETTING, "--tenant", "thrifty")
    assert rest["items"] == []
    wait_until(lambda: read("thrifty/owner") == 404, what="the end of the setting")


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
    files = {(each["store"], each["file"]) for each in told}
    assert ("postgres", "0016_commit_receipts.sql") in files
    assert ("clickhouse", "0005_metric_points.sql") in files
    assert {len(each["checksum"]) for each in told} == {64}
    assert platform.cli_json("migrations", "rehearse") == []
