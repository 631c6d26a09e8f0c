"""One organisation's owner with another's ids in every position of every operation.

The operations come from the declarations of all services, so a new one is tried from its first day.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until
from harness.positions import Attempt, Place, attempt, operations, places, texts, with_query

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.server.kit.endpoints import INTERNAL_PREFIX
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
VICTIM: Final = "demo"
THIEF: Final = "thief"
PERSON: Final = f"{THIEF}/owner"
NO_IDS: Final = {"/api/v1/auth/logout", "/api/v1/auth/password", "/api/v1/auth/step-up"}
"""They take no id. A logout would end the test; of wrong proofs of a person each makes the next wait
longer, so that two answers differ by when they were asked for (`test_second_factors`)."""
OPERATIONS: Final = operations()
PUBLIC: Final = [each for _, each in OPERATIONS if each.access.public]
OWN: Final = [
    each
    for _, each in OPERATIONS
    if not each.access.public and not each.access.peers and each.path not in NO_IDS
]
"""What a logged-in person may call."""
ADMINISTRATION: Final = [
    (service, each)
    for service, each in OPERATIONS
    if each.path.startswith(f"{INTERNAL_PREFIX}v1/admin/")
    and {("query", "tenant"), ("body", "tenant")} & set(places(each))
]
TENANT_HEADERS: Final = (
    "x-tenant-id",
    "x-tenant",
    "x-aitrading-tenant",
    "x-forwarded-client-cert",
)
NEW_EACH_TIME: Final = {"password", "code", "version", "token", "refresh_token"}
VARYING: Final = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Loot:
    """Values that belong to the victim, each with one of the same shape that belongs to nobody."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def ids(self) -> set[str]:
        """Values that can come from nowhere but the victim's rows."""
        return {true for true, _ in self.pairs if len(true) >= 32}


@pytest.fixture(scope="module")
def loot(platform: Platform) -> Loot:
    platform.cli_json("tenant", "create", THIEF)
    platform.cli_json("user", "create", "owner", "--tenant", THIEF, "--role", "owner")
    page = wait_until(
        lambda: (found := platform.get("/api/v1/ticks?symbol=EURUSD&limit=1"))["items"] and found,
        what="ticks of the victim",
    )
    rows = victim(platform)
    listed = [*rows["users"], *rows["devices"], *rows["accounts"]]
    ids = {row.get("id") or row["device"] for row in listed}
    ids |= {page["items"][0]["stream"], rows["tenant"]["id"]}
    ids |= {str(account["login"]) for account in rows["accounts"]}
    names = {"EURUSD", VICTIM, *(row["name"] for row in rows["devices"])}
    return Loot(tuple((value, ghost_of(value)) for value in sorted(ids | names)))


def ghost_of(value: str) -> str:
    """Nobody's value of the same shape."""
    if value.isdigit():
        return str(int(value) + 1)
    try:
        return str(uuid.UUID(int=uuid.UUID(value).int ^ 0x5A))
    except ValueError:
        return value[:-1] + ("q" if value[-1] != "q" else "w")


def as_thief(platform: Platform, method: str, path: str, **given: Any) -> tuple[int, Any]:
    """Ask with a token that counts: what was tried before may have ended the thief's own sessions."""
    status, answer = platform.request(method, path, person=PERSON, **given)
    if status == HTTPStatus.UNAUTHORIZED and answer["error"]["code"] == TOKEN_REFUSED.code:
        platform.forget_tokens()
        return platform.request(method, path, person=PERSON, **given)
    return status, answer


def as_host(platform: Platform, service: str, tried: Attempt) -> Any:
    """Ask in the name of the host's administrator."""
    call = {"peer": service, "method": tried.method, "path": tried.target, "query": tried.query}
    if tried.body is not None:
        call["body"] = tried.body
    return AdminClient(Home(platform.home)).request("call", Any, **call)


def victim(platform: Platform) -> dict[str, Any]:
    """What the victim has, as the host and the victim see it."""

    def listed(what: str, **query: str) -> Any:
        target = f"{INTERNAL_PREFIX}v1/admin/{what}"
        tried = Attempt(method="GET", target=target, body=None, query=query)
        return as_host(platform, "api-gateway", tried)

    (tenant,) = [row for row in listed("tenants") if row["name"] == VICTIM]
    kinds = ("users", "devices", "accounts", "subscriptions/people")
    found = {kind: listed(kind, tenant=VICTIM) for kind in kinds}
    return {"tenant": tenant, "kill": platform.get("/api/v1/kill"), **found}


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """Without what moves by itself."""
    moving = {
        "last_seen",
        "last_seen_at",
        "last_login_at",
        "connected_at",
        "certificate_expires_at",
    }
    return {
        kind: [{k: v for k, v in row.items() if k not in moving} for row in rows]
        if isinstance(rows, list)
        else rows
        for kind, rows in state.items()
    }


def said(answer: Any, sent: str) -> list[str]:
    """An answer without what differs from time to time and without what the caller sent."""
    if isinstance(answer, dict):
        answer = {key: value for key, value in answer.items() if key not in NEW_EACH_TIME}
    told = (text.lower().replace(sent.lower(), "#") for text in texts(answer))
    return sorted(VARYING.sub("#", text) for text in told)


def without_names(answer: Any) -> Any:
    """An answer without free text: the thief's own devices are named like what it tried."""
    match answer:
        case dict():
            return {key: without_names(each) for key, each in answer.items() if key != "name"}
        case list():
            return [without_names(each) for each in answer]
        case _:
            return answer


def every_attempt(
    operation: Any, loot: Loot
) -> Iterator[tuple[Place, str, Attempt, Attempt, str]]:
    for place in places(operation):
        for true, ghost in loot.pairs:
            fixed = {"tenant": THIEF} if place[-1] != "tenant" else {}
            yield (
                place,
                true,
                attempt(operation, place, true, fixed),
                attempt(operation, place, ghost, fixed),
                ghost,
            )


@pytest.mark.parametrize("operation", OWN, ids=lambda each: f"{each.method} {each.path}")
def test_a_person_with_ids_of_others_learns_and_changes_nothing(
    platform: Platform, loot: Loot, operation: Any
) -> None:
    before = settled(victim(platform))

    def ask(tried: Attempt, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return as_thief(
            platform, tried.method, with_query(tried), body=tried.body, headers=headers
        )

    for place, true, theft, ghost_try, ghost in every_attempt(operation, loot):
        stolen, missing = ask(theft), ask(ghost_try)
        assert stolen[0] == missing[0], (place, true, stolen, missing)
        assert said(stolen[1], true) == said(missing[1], ghost), (place, true)
        leaked = loot.ids & set(texts(without_names(stolen[1]))) - {true}
        assert not leaked, (place, true, leaked)
    plain = attempt(operation, ("none",), "", {})
    (tenant,) = [true for true, _ in loot.pairs if true == before["tenant"]["id"]]
    for header in TENANT_HEADERS:
        status, answer = ask(plain, {header: tenant})
        assert status == ask(plain)[0]
        assert not loot.ids & set(texts(without_names(answer)))
    assert settled(victim(platform)) == before


@pytest.mark.parametrize(
    ("service", "operation"),
    ADMINISTRATION,
    ids=lambda each: each if isinstance(each, str) else f"{each.method} {each.path}",
)
def test_administration_of_one_organisation_never_reaches_into_another(
    platform: Platform, loot: Loot, service: str, operation: Any
) -> None:
    before = settled(victim(platform))

    def ask(tried: Attempt) -> Any:
        try:
            return as_host(platform, service, tried)
        except AitradingError as refusal:
            return refusal.code

    ask(attempt(operation, ("none",), "", {"tenant": THIEF}))  # what exists once does so from here
    for place, true, theft, ghost_try, ghost in every_attempt(operation, loot):
        if place[-1] in {"tenant", "password"}:
            continue  # the host's administrator may name any organisation and choose any password
        stolen, missing = ask(theft), ask(ghost_try)
        assert said(stolen, true) == said(missing, ghost), (place, true)
        assert not loot.ids & set(texts(stolen)) - {true}, (place, true)
    assert settled(victim(platform)) == before


@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/security-events"])
def test_nobody_reads_what_was_audited_of_another(
    platform: Platform, loot: Loot, path: str
) -> None:
    """An event names ids inside of longer words, where the search for loot does not see them."""
    theirs = platform.request("GET", f"{path}?limit=500", person=f"{VICTIM}/owner")[1]["items"]
    ours = as_thief(platform, "GET", f"{path}?limit=500")[1]["items"]
    assert theirs
    assert ours
    told = json.dumps(ours)
    leaked = {value for value in loot.ids | {each["id"] for each in theirs} if value in told}
    assert not leaked
    newest = theirs[0]["id"]
    for stolen in (newest, str(uuid.UUID(int=uuid.UUID(newest).int + 1))):
        answer = as_thief(platform, "GET", f"{path}?cursor={stolen}")
        assert answer[0] == 200
        assert newest not in json.dumps(answer[1])


def test_nobody_reaches_the_inside_through_the_edge(platform: Platform, loot: Loot) -> None:
    del loot
    for _, operation in OPERATIONS:
        if operation.path.startswith(INTERNAL_PREFIX):
            tried = attempt(operation, ("none",), "", {"tenant": VICTIM})
            status, _answer = platform.request(
                tried.method, with_query(tried), person=PERSON, body=tried.body
            )
            assert status == 404, operation.path


def test_what_needs_no_login_is_this_and_no_more() -> None:
    """Each of these is judged by a test of its own; a new one must be thought of here."""
    assert {each.path for each in PUBLIC} == {
        "/api/v1/auth/key",
        "/api/v1/auth/link",
        "/api/v1/auth/second",
        "/api/v1/auth/second/key",
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/devices/enroll",
        "/api/v1/devices/renew",
        "/api/v1/devices/token",
        "/api/v1/devices/trust",
        "/api/v1/health",
    }
