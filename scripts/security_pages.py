"""Documents about security: OWASP's list with what shows each row, and the hardening of the client."""

import tomllib
from pathlib import Path
from typing import Any

from markdown_tables import table

from aitrading.client.security.confinement import (
    WorkerNeeds,
    client_confinement,
    worker_confinement,
)
from aitrading.client.security.linux_security import (
    linux_measures,
    worker_measures_of_linux,
)
from aitrading.client.security.measures import Measure
from aitrading.client.security.windows_security import windows_measures
from aitrading.client.security.worker_job import job_measures

ASVS = Path(__file__).resolve().parents[1] / "docs" / "security" / "asvs.toml"


def asvs() -> str:
    """What shows each requirement of OWASP's standard, from the reviewed list."""
    reviewed = tomllib.loads(ASVS.read_text(encoding="utf-8"))
    entries = {each: asvs_state(entry) for each, entry in reviewed["requirements"].items()}
    states = list(entries.values())
    words = ("shown", "NOT MET", "differs", "out")
    shown, missing, differs, out = (states.count(word) for word in words)
    head = (
        "# OWASP ASVS 5.0, levels 1 and 2\n\n"
        f"{len(states)} requirements: **{shown} shown** by a test or document, **{missing} NOT MET** yet, "
        f"{differs} differ on purpose, {out} out of scope. Each is told in our own short words; [the requirements themselves]"
        "(https://github.com/OWASP/ASVS/tree/v5.0.0/5.0/en) are OWASP's. Evidence is reviewed by people in "
        "`docs/security/asvs.toml`; a test holds it against the repository.\n"
    )
    parts = [head]
    for chapter, title in reviewed["chapters"].items():
        rows = [
            (
                f"{chapter}.{number.partition('.')[2]}",
                str(entry["level"]),
                entry["says"],
                evidence(entry),
            )
            for number, entry in reviewed["requirements"].items()
            if number.partition(".")[0] == chapter.removeprefix("V")
        ]
        parts.append(
            f"## {chapter} {title}\n\n" + table(("number", "level", "asked", "here"), rows)
        )
    return "\n".join(parts)


def asvs_state(entry: dict[str, Any]) -> str:
    """In one word."""
    if "missing" in entry:
        return "NOT MET"
    return next((word for word in ("out", "differs") if word in entry), "shown")


def evidence(entry: dict[str, Any]) -> str:
    """Links to what shows a requirement, or why nothing does."""
    if "out" in entry:
        return f"out of scope: {entry['out']}"
    links: list[str] = []
    for shown in entry.get("shown", ()):
        path, _, test = shown.partition("::")
        name = path.removeprefix("docs/") if path.startswith("docs/") else path.rpartition("/")[2]
        links.append(f"[`{test or name}`](../../{path})")
    told = ", ".join(links)
    if "differs" in entry:
        return f"**differs on purpose**: {entry['differs']}. Decided and shown: {told}"
    if "missing" not in entry:
        return told
    return f"**NOT MET**: {entry['missing']}" + (f". Of it there is: {told}" if told else "")


def client_hardening() -> str:
    """Each measure of the client's process on each system, and why some are not taken."""
    head = (
        "# Hardening of the client's process\n\nSet at the start, then read back: a measure counts only when the system "
        "itself tells that it is on. `aitrading-client doctor` shows how each stands on a machine, `aitrading device "
        "security` what clients reported. What it is for: [client security](../how-to/client-security.md).\n"
    )
    parts = [head]
    systems = (
        ("Windows", windows_measures()),
        ("Windows, a worker besides", job_measures("")),
        ("Linux", (*linux_measures(), *client_confinement(Path()))),
        (
            "Linux, a worker besides",
            (*worker_measures_of_linux(), *worker_confinement(WorkerNeeds())),
        ),
    )
    for system, measures in systems:
        rows = [
            (f"`{one.name}`", one.against, _done(one), one.untold or one.cannot)
            for one in measures
        ]
        parts.append(
            f"## {system}\n\n" + table(("measure", "against", "the client", "why not more"), rows)
        )
    return "\n".join(parts)


def _done(measure: Measure) -> str:
    if measure.apply is None:
        return "looks"
    return "asks for it" if measure.untold else "sets it"
