"""One request is one trace, from the edge to the database and over the bus; nobody else sees it."""

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until
from harness.streams import open_stream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
TRACES: Final = "/api/v1/traces"
SAMPLED: Final = "00000000"
"""The end of a trace id that is in every share but none at all."""
NEVER_SAMPLED: Final = "ffffffff"


def new_trace(end: str) -> tuple[str, dict[str, str]]:
    """An id and the header of a client that has a trace of its own."""
    trace_id = secrets.token_hex(12) + end
    return trace_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00"}


def kept(platform: Platform, trace_id: str, person: str, *names: str) -> dict[str, Any]:
    """The trace, when each of these services has its part in it."""

    def whole() -> Any:
        status, trace = platform.request("GET", f"{TRACES}/{trace_id}", person=person)
        return trace if status == 200 and set(names) <= services_of(trace) else None

    return dict(wait_until(whole, what=f"the trace {trace_id}"))


def services_of(trace: dict[str, Any]) -> set[str]:
    return {span["service"] for span in trace["spans"]}


def of_kind(trace: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [span for span in trace["spans"] if span["kind"] == kind]


def of_a_stranger(platform: Platform, ask: Callable[[], str]) -> dict[str, Any]:
    """The trace of what was asked. Of strangers so many are kept a minute, and other tests were
    strangers too: asked again, until one is kept."""

    def seen(trace_id: str) -> Any:
        found = platform.cli("trace", trace_id, "--json")
        return found.returncode == 0 and json.loads(found.stdout)["trace"]

    def told() -> Any:
        trace_id = ask()
        return wait_until(lambda: seen(trace_id), what="its trace", timeout_s=25)

    return dict(wait_until(told, what="the trace of a stranger", timeout_s=240))


def test_one_read_is_one_trace_from_the_edge_to_the_stores(platform: Platform) -> None:
    wait_until(
        lambda: platform.request("GET", "/api/v1/ticks?symbol=EURUSD")[0] == 200, what="ticks"
    )
    trace_id, headers = new_trace(SAMPLED)
    status, _ = platform.request("GET", "/api/v1/ticks?symbol=EURUSD", headers=headers)
    assert status == 200
    trace = kept(platform, trace_id, "demo/trader", "edge", "database-service")
    (edge,), (request,) = of_kind(trace, "edge"), of_kind(trace, "request")
    assert request["parent"] == edge["id"]
    assert request["name"] == "GET /api/v1/ticks"
    inner = [*of_kind(trace, "database"), *of_kind(trace, "time_series"), *of_kind(trace, "cache")]
    assert {span["kind"] for span in inner} >= {"database", "time_series"}
    assert {span["parent"] for span in inner} == {request["id"]}
    assert (trace["complete"], trace["outcome"]) == (True, "ok")
    assert "EURUSD" not in str(trace), "no value of a request is in a trace"


def test_a_request_is_followed_over_the_bus(platform: Platform) -> None:
    password = platform.password("viewer")
    body = {"tenant": "demo", "username": "viewer", "password": password, "deliver": "token"}
    _, session = platform.request("POST", "/api/v1/auth/login", person=None, body=body)
    trace_id, headers = new_trace(SAMPLED)
    headers["authorization"] = f"Bearer {session['access_token']}"
    status, _ = platform.request("POST", "/api/v1/auth/logout", person=None, headers=headers)
    assert status == 204
    trace = kept(
        platform, trace_id, "demo/trader", "edge", "api-gateway", "data-bridge", "trading-engine"
    )
    published = {span["id"]: span["name"] for span in of_kind(trace, "publish")}
    handled = of_kind(trace, "event")
    assert {published[span["parent"]] for span in handled} == {span["name"] for span in handled}
    assert {"data-bridge", "trading-engine"} <= {span["service"] for span in handled}
    assert of_kind(trace, "database")


def test_an_error_is_kept_whatever_the_share_and_says_where(platform: Platform) -> None:
    trace_id, headers = new_trace(NEVER_SAMPLED)
    path = "/api/v1/errors/0123456789abcdef"
    status, answer = platform.request("GET", path, headers=headers)
    assert status == 404
    assert answer["error"]["trace_id"] == trace_id
    trace = kept(platform, trace_id, "demo/trader", "edge", "database-service")
    assert (trace["outcome"], trace["spans"][1]["code"]) == ("refused", "ERROR_NOT_SEEN")
    said = platform.cli("errors", "resolve", "0123456789abcdef", "x", "--for", "demo/owner")
    assert said.returncode == 1
    assert "aitrading trace " in said.stderr


def test_an_ordinary_request_outside_of_the_share_is_not_kept(platform: Platform) -> None:
    ordinary, headers = new_trace(NEVER_SAMPLED)
    assert platform.request("GET", "/api/v1/errors", headers=headers)[0] == 200
    later, headers = new_trace(SAMPLED)
    platform.request("GET", "/api/v1/errors", headers=headers)
    kept(platform, later, "demo/trader", "edge")
    assert platform.request("GET", f"{TRACES}/{ordinary}")[0] == 404


def test_another_organisation_does_not_find_it(platform: Platform) -> None:
    trace_id, headers = new_trace(SAMPLED)
    platform.request("GET", "/api/v1/errors", person="demo/owner", headers=headers)
    kept(platform, trace_id, "demo/owner", "edge", "database-service")
    status, answer = platform.request("GET", f"{TRACES}/{trace_id}", person="other/owner")
    assert (status, answer["error"]["code"]) == (404, "TRACE_NOT_KEPT")
    page = platform.get(f"{TRACES}?limit=500", person="other/owner")
    assert trace_id not in {each["trace_id"] for each in page["items"]}
    status, answer = platform.request("GET", f"{TRACES}?of=platform", person="other/owner")
    assert (status, answer["error"]["code"]) == (403, "OPERATOR_NEEDED")
    # Both use one id: each sees its own part.
    platform.request("GET", "/api/v1/audit", person="other/owner", headers=headers)
    theirs = kept(platform, trace_id, "other/owner", "edge", "database-service")
    assert [span["name"] for span in of_kind(theirs, "request")] == ["GET /api/v1/audit"]
    ours = kept(platform, trace_id, "demo/owner", "edge")
    assert [span["name"] for span in of_kind(ours, "request")] == ["GET /api/v1/errors"]


def test_what_reaches_no_service_is_the_edges_and_the_platforms(platform: Platform) -> None:
    def refused() -> str:
        trace_id, headers = new_trace(NEVER_SAMPLED)
        headers["authorization"] = "Bearer no-token-at-all"
        status, _ = platform.request("GET", "/api/v1/errors", person=None, headers=headers)
        assert status == 401
        return trace_id

    trace = of_a_stranger(platform, refused)
    assert "edge" in services_of(trace)
    assert platform.request("GET", f"{TRACES}/{trace['trace_id']}")[0] == 404


def test_an_answer_of_the_edge_itself_names_a_trace_that_is_found(platform: Platform) -> None:
    def refused() -> str:
        status, answer = platform.request("GET", "/nowhere", person=None)
        assert status == 404
        return str(answer["error"]["trace_id"])

    (span,) = of_a_stranger(platform, refused)["spans"]
    assert (span["service"], span["outcome"]) == ("edge", "refused")


def test_a_stream_is_a_trace_its_greeting_first_and_its_life_at_its_end(
    platform: Platform,
) -> None:
    trace_id, headers = new_trace(SAMPLED)
    sent = f"traceparent: {headers['traceparent']}"
    with open_stream(platform, platform.token("demo/trader"), sent):
        begun = kept(platform, trace_id, "demo/trader", "data-bridge")
        (greeting,) = of_kind(begun, "request")
        assert greeting["name"] == "GET /api/v1/stream"
        assert [span["name"] for span in of_kind(begun, "limit")] == ["user connections"]
        assert not of_kind(begun, "connection"), "it lives"
    trace = kept(platform, trace_id, "demo/trader", "data-bridge", "edge")
    wait_until(
        lambda: len(of_kind(kept(platform, trace_id, "demo/trader"), "connection")) == 2,
        what="its end, as the bridge and the edge saw it",
    )
    trace = kept(platform, trace_id, "demo/trader")
    by_service = {span["service"]: span for span in of_kind(trace, "connection")}
    assert by_service["data-bridge"]["parent"] == greeting["id"]
    assert greeting["parent"] == by_service["edge"]["id"]
    assert (trace["complete"], trace["outcome"]) == (True, "ok")


def test_the_command_draws_it_and_lists_the_worst_first(platform: Platform) -> None:
    trace_id, headers = new_trace(SAMPLED)
    platform.request("GET", "/api/v1/errors/0123456789abcdef", headers=headers)
    kept(platform, trace_id, "demo/trader", "edge", "database-service")
    drawn = platform.cli("trace", trace_id)
    assert drawn.returncode == 0, drawn.stderr
    assert "GET /api/v1/errors/{fingerprint}" in drawn.stdout
    assert "refused ERROR_NOT_SEEN" in drawn.stdout
    assert "█" in drawn.stdout
    as_person = platform.cli_json("trace", trace_id, "--for", "demo/viewer")
    assert as_person["trace"]["trace_id"] == trace_id
    assert platform.cli("trace", trace_id, "--for", "other/owner").returncode == 1
    listed = platform.cli_json("trace", "--tenant", "demo", "--limit", "500")
    ranks = [("failed", "refused", "ok").index(each["outcome"]) for each in listed]
    assert ranks == sorted(ranks)
    assert trace_id in {each["trace_id"] for each in listed}
