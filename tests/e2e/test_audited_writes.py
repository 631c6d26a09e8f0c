"""Every address of the database service that changes something is audited, or says why it is not."""

import secrets
from collections.abc import Callable
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until
from harness.postgres import locked, rows

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.database_service.service import SPEC
from aitrading.server.kit.endpoints import endpoints_of_class
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
NOT_AUDITED: Final = {
    "PUT /internal/v1/streams": "what a device sends, under its own certificate",
    "POST /internal/v1/segments/{segment}": "what a device sends, under its own certificate",
    "POST /internal/v1/feed-truth": "what a device sends, under its own certificate",
    "POST /internal/v1/device-notes": "what a device sends, signed with its own key",
    "POST /internal/v1/backups/freeze": "part of a backup, whose beginning and end are audited",
    "POST /internal/v1/logs/lifecycle": "each removed file leaves a receipt; the policy is audited",
    "POST /internal/v1/stores/examine": "the doctor takes away again what it writes",
}
CLOCK: Final = SystemClock()
OPERATOR, OWNER = "platform/operator", "demo/owner"
CHAIN: Final = {
    "name": "audited",
    "description": "",
    "hops": [{"name": "a", "service": "data-bridge", "kind": "call"}],
}
RESOLUTIONS: Final = "errors/{}/resolutions"


class Writer:
    """Makes each write as the one who may."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.backup = str(SystemIdFactory(CLOCK, SystemRandomness()).new())
        self.resolution = ""
        self._client = AdminClient(Home(platform.home))

    def host(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        given = {} if body is None else {"body": body}
        return self._client.request(
            "call",
            object,
            peer="database-service",
            method=method,
            path=f"/internal/v1/{path}",
            query=query,
            **given,
        )

    def person(self, who: str, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.platform.request(
            method,
            f"/api/v1/{path}",
            person=who,
            body=body,
            headers={"idempotency-key": secrets.token_hex(8)},
        )
        assert status < 300, (path, answer)
        return answer

    def fingerprint(self, person: str = "") -> str:
        """Of some error: of a person's organisation, or of the platform itself."""

        def first() -> str:
            if person:
                return str(self.person(person, "GET", "errors")["items"][0]["fingerprint"])
            return str(self.platform.cli_json("errors", "recent")[0]["fingerprint"])

        return str(wait_until(first, what="an error being kept"))

    def resolve(self) -> None:
        path = RESOLUTIONS.format(self.fingerprint(OWNER))
        self.resolution = self.person(OWNER, "POST", path, {"note": "restarted"})["id"]

    def on_resolution(self, method: str, body: Any = None) -> None:
        path = RESOLUTIONS.format(self.fingerprint(OWNER))
        self.person(OWNER, method, f"{path}/{self.resolution}", body)


AUDITED: Final[dict[str, tuple[str, Callable[[Writer], Any]]]] = {
    "POST /internal/v1/admin/chain-graph/chains": (
        "chains.definition_saved",
        lambda by: by.host("POST", "admin/chain-graph/chains", CHAIN),
    ),
    "DELETE /internal/v1/admin/chain-graph/chains/{chain}": (
        "chains.definition_removed",
        lambda by: by.host("DELETE", "admin/chain-graph/chains/audited"),
    ),
    "PUT /api/v1/logs/policies/{level}": (
        "logs.policy.changed",
        lambda by: by.person(OPERATOR, "PUT", "logs/policies/DEBUG", {"retention_days": 7}),
    ),
    "PUT /api/v1/logs/tiers/{tier}": (
        "logs.tier.changed",
        lambda by: by.person(OPERATOR, "PUT", "logs/tiers/hot", {"capacity_gb": 50}),
    ),
    "POST /internal/v1/logs/policies/{level}": (
        "logs.policy.changed",
        lambda by: by.host("POST", "logs/policies/DEBUG", {"retention_days": 7}),
    ),
    "POST /internal/v1/logs/tiers/{tier}": (
        "logs.tier.changed",
        lambda by: by.host("POST", "logs/tiers/hot", {"capacity_gb": 60}),
    ),
    "POST /api/v1/errors/{fingerprint}/resolutions": ("errors.resolution_added", Writer.resolve),
    "PUT /api/v1/errors/{fingerprint}/resolutions/{resolution}": (
        "errors.resolution_changed",
        lambda by: by.on_resolution("PUT", {"note": "restarted twice"}),
    ),
    "DELETE /api/v1/errors/{fingerprint}/resolutions/{resolution}": (
        "errors.resolution_deleted",
        lambda by: by.on_resolution("DELETE"),
    ),
    "POST /internal/v1/admin/errors/{fingerprint}/resolutions": (
        "errors.resolution_added",
        lambda by: by.host(
            "POST", "admin/" + RESOLUTIONS.format(by.fingerprint()), {"note": "waited"}
        ),
    ),
    "PUT /internal/v1/admin/settings": (
        "settings.granted",
        lambda by: by.host(
            "PUT",
            "admin/settings",
            {"tenant": "other", "setting": "reads.pages_per_minute", "value": 600},
        ),
    ),
    "DELETE /internal/v1/admin/settings/{setting}": (
        "settings.taken_back",
        lambda by: by.host("DELETE", "admin/settings/reads.pages_per_minute", tenant="other"),
    ),
    "POST /internal/v1/admin/services/changes": (
        "services.admitted",
        lambda by: by.host(
            "POST",
            "admin/services/changes",
            {"id": by.backup, "occurred_ns": CLOCK.now_ns(), "service": "news", "admitted": True},
        ),
    ),
    "POST /internal/v1/backups": (
        "backup.begin",
        lambda by: by.host("POST", "backups", {"backup": by.backup, "target": "/nowhere"}),
    ),
    "POST /internal/v1/backups/end": (
        "backup.end",
        lambda by: by.host("POST", "backups/end", {"backup": by.backup, "ok": True}),
    ),
    "POST /internal/v1/backups/verified": (
        "backup.verify",
        lambda by: by.host("POST", "backups/verified", {"backup": by.backup, "ok": True}),
    ),
}
"""In an order in which each finds what it changes."""


def writes() -> set[str]:
    declared = (each for owner in SPEC.endpoints for each in endpoints_of_class(owner))
    return {f"{each.method} {each.path}" for each in declared if each.method != "GET"}


def test_every_write_is_in_one_of_the_two_tables() -> None:
    assert set(AUDITED) | set(NOT_AUDITED) == writes()
    assert not set(AUDITED) & set(NOT_AUDITED)


def test_every_write_leaves_its_audit_event(platform: Platform) -> None:
    by = Writer(platform)
    platform.cli("tenant", "create", "platform")
    platform.cli("user", "create", "operator", "--tenant", "platform", "--role", "owner")
    platform.token(OWNER)  # while people can still be looked up
    login = {"tenant": "demo", "username": "viewer", "password": "x"}
    with locked(platform, "identity.devices", "identity.users"):
        platform.request("GET", "/api/v1/devices", person=OWNER)
        platform.request("POST", "/api/v1/auth/login", person=None, body=login)
    known = {row["id"] for row in events(platform)}
    for write, (action, make) in AUDITED.items():
        make(by)
        new = [row for row in events(platform) if row["id"] not in known]
        known |= {row["id"] for row in new}
        found = [row for row in new if row["action"] == action]
        assert len(found) == 1, (write, [dict(row) for row in new])
        assert found[0]["service"] == "database", write
        who = "user:" if write.split()[1].startswith("/api/") else "host:"
        assert found[0]["actor"].startswith(who), write


def events(platform: Platform) -> list[Any]:
    return rows(platform, "SELECT id, service, actor, action FROM audit.pending")
