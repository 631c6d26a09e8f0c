"""The five stores as the running database service finds them; nothing is opened from here.

The embedded ClickHouse belongs to one process, and a login tells nothing about the port that the
services really use: so the service is asked to ask.
"""

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.examination_api import EXAMINE_PATH, StoreExamination
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.home import Home

DATABASE = "database-service"


def examine_stores(home: Home) -> tuple[list[StoreExamination], list[Finding]]:
    """Every store, and what is to be said about each; nothing without a running platform."""
    if home.holder() is None:
        return [], []  # the other checks of databases say that nothing runs
    try:
        examined = AdminClient(home).request(
            "call", list[StoreExamination], peer=DATABASE, method="POST", path=EXAMINE_PATH
        )
    except AitradingError as exc:
        return [], [wrong("stores", exc)]
    return examined, [judge(each) for each in examined]


def judge(examined: StoreExamination) -> Finding:
    """The first step that failed, with its remedy; else how long the steps took."""
    check = f"{examined.store} store"
    for step in examined.steps:
        if step.state == "failed":
            return problem(
                check,
                f"{examined.adapter}: {step.step} failed: {step.message}",
                cause=step.cause,
                remedy=step.remedy,
                code=step.code,
            )
    times = ", ".join(
        f"{each.step} {each.took_ms:g} ms" for each in examined.steps if each.took_ms
    )
    told = f"{examined.adapter}: {times}."
    if examined.verified:
        return fine(check, told)
    return unverified(check, f"{told} {examined.note}")
