"""Why the server takes no ticks of this client, or warns of it: what it said, in words."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aitrading.client.findings import Finding, Verdict
from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.protocol.error_codes import (
    LINK_DEVICE_SHARED,
    LINK_DEVICES_FULL,
    LINK_FEEDS_FULL,
    LINK_LIMIT_EXCEEDED,
    LINK_OVERLOADED,
    LINK_SHARE_FULL,
    LINK_STREAM_CONFLICT,
    LINK_SUBSCRIPTION_INACTIVE,
    LINK_UNCHECKED,
)

_OF_STREAMS: Final = {
    spec.code: spec for spec in (LINK_FEEDS_FULL, LINK_LIMIT_EXCEEDED, LINK_STREAM_CONFLICT)
}
NAMED_MAX: Final = 10
_SAID: Final = {
    spec.code: spec
    for spec in (
        LINK_SUBSCRIPTION_INACTIVE,
        LINK_DEVICE_SHARED,
        LINK_DEVICES_FULL,
        LINK_SHARE_FULL,
        LINK_OVERLOADED,
        LINK_UNCHECKED,
    )
}


def held_back(uplink: Mapping[str, Any], link: Mapping[str, Any]) -> ErrorSpec | None:
    """The reason by the health of these two parts; None while ticks are taken."""
    return _SAID.get(uplink.get("held") or link.get("last_error") or "")


def warned(link: Mapping[str, Any]) -> ErrorSpec | None:
    """What the server warned of in this run while it went on taking ticks."""
    return LINK_DEVICE_SHARED if link.get("warned_of") == LINK_DEVICE_SHARED.code else None


def held_finding(report: dict[str, Any]) -> Finding | None:
    """Why the server takes no ticks of a client that reports this; None when it takes them."""
    uplink, link = (
        report["components"].get(name, {}).get("fields", {}) for name in ("uplink", "link")
    )
    spec = held_back(uplink, link)
    if spec is None:
        return None
    kept = f"{uplink.get('pending_ticks', 0)} ticks are kept here."
    return Finding(
        "market data", Verdict.WARNING, f"{spec.message} {spec.why} {kept}", spec.remedy
    )


def refused_findings(report: dict[str, Any]) -> Iterator[Finding]:
    """Symbols that the server does not take while it takes others, by the reason."""
    refused = report["components"].get("uplink", {}).get("fields", {}).get("refused_streams")
    by_code: dict[str, list[str]] = {}
    for words in (refused or "").split(", ") if refused else ():
        symbol, _, code = words.rpartition(": ")
        by_code.setdefault(code, []).append(symbol)
    for code, symbols in by_code.items():
        spec = _OF_STREAMS.get(code)
        names = ", ".join(symbols[:NAMED_MAX]) + (" …" if len(symbols) > NAMED_MAX else "")
        yield Finding(
            "refused symbols",
            Verdict.WARNING,
            f"{len(symbols)} are refused ({code}): {names}" + (f". {spec.why}" if spec else ""),
            spec.remedy if spec else "See the client's log.",
        )


def warning_finding(report: dict[str, Any]) -> Finding | None:
    """What the server warned of while it goes on; None when it did not."""
    spec = warned(report["components"].get("link", {}).get("fields", {}))
    if spec is None:
        return None
    return Finding("device key", Verdict.BROKEN, f"{spec.message} {spec.why}", spec.remedy)
