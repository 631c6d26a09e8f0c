"""Whoever only asks changes nothing: no row of an organisation moves for any GET there is."""

from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until
from harness.positions import Attempt, attempt, operations, with_query
from harness.postgres import rows

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.endpoints import INTERNAL_PREFIX, Endpoint
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
READER: Final = "reader"
FIXED: Final = {"tenant": READER, "symbol": "EURUSD", "day": "2026-01-02", "user": "owner"}
GETS: Final = [(service, each) for service, each in operations() if each.method == "GET"]
ASKED_MIN: Final = 30
"""As many answer; the others lack what they are asked for, and say so."""
# That a request was made is kept as its trace, whatever it asked for, and that one was refused as an
# event of the audit trail.
REFUSALS: Final = {"audit.pending": "AND action <> 'access.refused'"}
TABLES: Final = """
    SELECT format('%I.%I', c.table_schema, c.table_name) AS name
      FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
     WHERE c.column_name = 'tenant_id' AND t.table_type = 'BASE TABLE' AND c.table_schema <> 'traces'
     ORDER BY 1"""


def state(platform: Platform, tenant: str) -> dict[str, tuple[int, str]]:
    """Of each table that belongs to organisations: how many rows this one has, and their digest."""
    names = [row["name"] for row in rows(platform, TABLES)]
    each = (
        f"SELECT '{name}' AS name, count(*) AS count, "  # noqa: S608 - names of the catalogue
        f"md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS digest "
        f"FROM {name} t WHERE tenant_id = $1::uuid {REFUSALS.get(name, '')}"
        for name in names
    )
    found = rows(platform, " UNION ALL ".join(each), tenant)
    return {row["name"]: (row["count"], row["digest"]) for row in found}


def at_rest(platform: Platform, tenant: str) -> dict[str, tuple[int, str]] | None:
    """Its state, when nothing of it moves by itself."""
    now = state(platform, tenant)
    return now if state(platform, tenant) == now else None


def is_read(platform: Platform, service: str, operation: Endpoint) -> bool:
    """Ask in the name of who may; whether there was an answer."""
    tried = attempt(operation, ("none",), "", FIXED)
    if operation.path.startswith(INTERNAL_PREFIX):
        return as_host(platform, service, tried)
    person = None if operation.access.public else f"{READER}/owner"
    status, _ = platform.request("GET", with_query(tried), person=person)
    return status == 200


def as_host(platform: Platform, service: str, tried: Attempt, **more: Any) -> bool:
    call = {"peer": service, "method": tried.method, "path": tried.target, "query": tried.query}
    try:
        AdminClient(Home(platform.home)).request("call", Any, **call, **more)
    except AitradingError:
        return False
    return True


def test_no_get_changes_a_row(platform: Platform) -> None:
    platform.cli_json("tenant", "create", READER)
    platform.cli_json("user", "create", "owner", "--tenant", READER, "--role", "owner")
    tenant = platform.get("/api/v1/auth/me", person=f"{READER}/owner")["person"]["tenant"]
    before = wait_until(lambda: at_rest(platform, tenant), what="the end of what was begun")
    answered = [each.path for service, each in GETS if is_read(platform, service, each)]
    assert state(platform, tenant) == before
    assert len(answered) >= ASKED_MIN, answered
    platform.cli_json("user", "create", "another", "--tenant", READER)
    assert state(platform, tenant) != before, "a change would have been seen"
