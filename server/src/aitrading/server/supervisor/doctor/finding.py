"""What a check found: fine, wrong with cause and remedy, or honestly not verified."""

from enum import StrEnum

import msgspec

from aitrading.core.kit.errors import AitradingError


class Verdict(StrEnum):
    """The three answers of a check."""

    OK = "ok"
    PROBLEM = "problem"
    UNVERIFIED = "unverified"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's answer."""

    check: str
    verdict: Verdict
    finding: str
    cause: str = ""
    remedy: str = ""
    code: str = ""


def fine(check: str, finding: str) -> Finding:
    """Checked, and as it should be."""
    return Finding(check=check, verdict=Verdict.OK, finding=finding)


def wrong(check: str, error: AitradingError) -> Finding:
    """Checked, and an error a start would end with, or a user would meet."""
    return Finding(
        check=check,
        verdict=Verdict.PROBLEM,
        finding=error.message,
        cause=error.spec.why,
        remedy=error.spec.remedy,
        code=error.code,
    )


def problem(check: str, finding: str, *, cause: str, remedy: str, code: str = "") -> Finding:
    """Checked, and wrong in a way only the doctor looks for."""
    return Finding(
        check=check,
        verdict=Verdict.PROBLEM,
        finding=finding,
        cause=cause,
        remedy=remedy,
        code=code,
    )


def unverified(check: str, finding: str, *, remedy: str = "") -> Finding:
    """Could not be checked here and now; says why."""
    return Finding(check=check, verdict=Verdict.UNVERIFIED, finding=finding, remedy=remedy)
