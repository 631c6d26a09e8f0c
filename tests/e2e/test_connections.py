"""Who is connected, as people and the host see it; ending a connection is audited."""

from http import HTTPStatus
from typing import Any

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
OWNER, TRADER, STRANGER = "demo/owner", "demo/trader", "other/owner"


def links(platform: Platform, person: str = OWNER) -> list[dict[str, Any]]:
    items = platform.get("/api/v1/connections", person=person)["items"]
    return [one for one in items if one["kind"] == "link"]


def whole_links(platform: Platform) -> list[dict[str, Any]]:
    """Those that have opened all their feeds: one that came back a moment ago has not yet."""
    return [one for one in links(platform) if one["feeds"] == 4]


def test_a_link_is_seen_by_its_organisation_ended_by_hand_and_comes_back(
    platform: Platform,
) -> None:
    before = wait_until(lambda: whole_links(platform), what="the demo's link with its feeds")[0]
    assert before["name"]
    assert before["device"]
    path = f"/api/v1/connections/{before['id']}"
    for person, status in (
        (TRADER, HTTPStatus.FORBIDDEN),
        (STRANGER, HTTPStatus.NOT_FOUND),
        (OWNER, HTTPStatus.NO_CONTENT),
    ):
        assert platform.request("DELETE", path, person=person)[0] == status
    after = wait_until(
        lambda: [one for one in links(platform) if one["id"] != before["id"]], what="its return"
    )[0]
    assert after["device"] == before["device"]
    assert platform.request("DELETE", path, person=OWNER)[0] == HTTPStatus.NOT_FOUND
    events = platform.cli_json("audit", "list", "--tenant", "demo", "--type", "connection.ended")
    subjects = [each["subject"] for each in events["items"]]
    assert subjects.count(f"connection:{before['id']}") == 1


def test_the_host_lists_and_ends_connections_by_command(platform: Platform) -> None:
    wait_until(lambda: links(platform), what="the demo's link")
    found = platform.cli_json("connections", "list", "--tenant", "demo")
    link = next(one for one in found if one["kind"] == "link")
    assert link["id"] in {one["id"] for one in links(platform)}
    ended = platform.cli_json("connections", "end", link["id"], "--tenant", "demo")
    assert ended["state"] == "ended"
    wait_until(lambda: any(one["id"] != link["id"] for one in links(platform)), what="its return")
