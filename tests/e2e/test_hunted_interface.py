"""A generator that others wrote attacks each documented operation in the name of everybody.

It knows the platform by its OpenAPI document alone. Nothing may break, nothing may be answered that
the document does not allow, to nobody who may not have it, and nothing that belongs to others.
`make prove` runs it with many seeds.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import requests
from harness.hunting import Hunter, cases, rules
from harness.platform import Platform
from schemathesis import Case

from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.server.api_gateway.identity.model import SCOPES
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
HUNTED: Final = "hunted"
CANARY: Final = "canary7f3a"
EXAMPLES: Final = 2
ENDS_SESSIONS: Final = ("/api/v1/auth/step-up", "/api/v1/auth/logout")
"""Sent last: a logout ends the session, and so does guessing at a proof."""
PEOPLE: Final = ("nobody", *sorted(SCOPES))


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where is hunted: what is sent, and what must not come back."""

    document: dict[str, Any]
    sent: list[Case]
    forbidden: frozenset[str]


def as_host(platform: Platform, path: str, **body: Any) -> Any:
    """What the command line asks of the api-gateway, without a process for each question."""
    call = {"peer": "api-gateway", "method": "POST", "path": f"/internal/v1/admin/{path}"}
    return AdminClient(Home(platform.home)).request("call", Any, **call, body=body)


def join(platform: Platform, tenant: str, user: str, role: str) -> None:
    """Create a person."""
    as_host(platform, "users", tenant=tenant, user=user, display_name=user, role=role)


@pytest.fixture(scope="module")
def ground(platform: Platform) -> Ground:
    for tenant in (HUNTED, CANARY):
        as_host(platform, "tenants", name=tenant)
    for role in SCOPES:
        join(platform, HUNTED, role, role)
    join(platform, CANARY, CANARY, "owner")
    victim = platform.get("/api/v1/auth/me", person=f"{CANARY}/{CANARY}")["person"]
    document = platform.get("/openapi.json", person=None)
    made = cases(document, first_seed=first_seed(), examples=points(EXAMPLES))
    return Ground(
        document=document,
        sent=sorted(made, key=lambda case: case.operation.path in ENDS_SESSIONS),
        forbidden=frozenset({CANARY, victim["user"], victim["tenant"]}),
    )


@pytest.fixture
def hunter(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Hunter]:
    who = request.param
    with requests.Session() as session:
        session.trust_env = False
        if who != "nobody":
            told = as_host(platform, "tokens", tenant=HUNTED, user=who)
            session.headers["authorization"] = f"Bearer {told['token']}"
        yield Hunter(
            session=session,
            url=platform.url,
            trust=str(platform.home / "trust" / "edge-ca.pem"),
            scopes=None if who == "nobody" else frozenset(map(str, SCOPES[who])),
        )


@pytest.mark.parametrize("hunter", PEOPLE, indirect=True)
def test_nothing_that_a_stranger_makes_up_breaks_or_reveals_anything(
    platform: Platform, ground: Ground, hunter: Hunter
) -> None:
    allowed = rules(ground.document)
    processes = {name: row["pid"] for name, row in platform.told()["services"].items()}
    found: list[str] = []
    seen: Counter[str] = Counter()
    for case in ground.sent:
        rule = allowed[case.operation.method.upper(), case.operation.path]
        answer = hunter.send(case)
        seen[f"{answer.status_code // 100}xx"] += 1
        faults = [*hunter.faults(case, answer, rule)]
        faults += [f"{word} came back" for word in ground.forbidden if word in answer.text]
        found += [f"{fault}\n{case.as_curl_command()}" for fault in faults]
    report({**seen, "faults": len(found)})
    assert not found, f"{len(found)} faults, of them:\n\n" + "\n\n".join(found[:5])
    assert seen["4xx"] > len(ground.sent) // 4
    now = {name: row["pid"] for name, row in platform.told()["services"].items()}
    assert now == processes, "a service died of it"
