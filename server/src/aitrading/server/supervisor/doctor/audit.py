"""How full the audit trail is: nothing is taken out of it yet."""

from collections.abc import Iterator
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.audit_api import AUDIT_SIZE_PATH, AuditSize
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

CHECK: Final = "audit trail"
LARGE_BYTES: Final = 2 << 30
"""Some five million events."""
OLD_DAYS: Final = 7 * 365
"""How long evidence is kept for."""
_REMEDY: Final = (
    "Find what writes so much: `aitrading audit list --tenant NAME`. Give the disk room; nothing may "
    "be deleted by hand, and every backup holds all of it."
)


def check_audit(home: Home) -> Iterator[Finding]:
    """What the database service of the running platform says."""
    if home.holder() is None:
        return
    try:
        size = AdminClient(home).request(
            "call", AuditSize, peer="database-service", method="GET", path=AUDIT_SIZE_PATH
        )
    except AitradingError as exc:
        not_asked = exc.spec is NOT_RUNNING
        yield unverified(CHECK, "Nobody was asked.") if not_asked else wrong(CHECK, exc)
        return
    yield judge(size)


def judge(size: AuditSize) -> Finding:
    """One finding about size and age."""
    told = (
        f"About {size.rows_estimated} events in {size.bytes / (1 << 20):.1f} MiB, "
        f"the oldest {size.age_days} days old."
    )
    if size.bytes >= LARGE_BYTES:
        cause = f"It has reached {LARGE_BYTES >> 30} GiB, and nothing takes events out of it yet."
        return problem(CHECK, told, cause=cause, remedy=_REMEDY)
    if size.age_days > OLD_DAYS:
        cause = (
            f"It reaches back further than {OLD_DAYS} days, which is what evidence is kept for."
        )
        return problem(CHECK, told, cause=cause, remedy=_REMEDY)
    return fine(CHECK, told)
