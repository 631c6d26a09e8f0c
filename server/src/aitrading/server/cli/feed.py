"""`aitrading feed`: the quotes and the state of each feed, as risk would see them."""

import time
from pathlib import Path
from typing import Final

import click
import msgspec

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.security.jwt_manager import StaticKeySet
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.cli.session import person_option, web_for
from aitrading.server.cli.web import Web
from aitrading.server.supervisor.home import Home

QUOTES: Final = "/api/v1/quotes"
FEEDS: Final = "/api/v1/feeds"
GAPS: Final = "/api/v1/feeds/gaps"
CERTIFICATE: Final = "/api/v1/feeds/certificate"
QUARANTINE: Final = "/api/v1/feeds/quarantine"
DOUBTED: Final = "/api/v1/feeds/quarantine/ticks"
CERTIFICATE_TYPE: Final = "feed-certificate+jws"
COMPLETE: Final = "COMPLETE"
LIVE: Final = "LIVE"
EXPECTED: Final = ("LIVE", "CLOSED")
WATCH_PERIOD_S: Final = 1.0


class Quote(msgspec.Struct, kw_only=True):
    """One symbol's last quote."""

    symbol: str
    bid: str | None
    ask: str | None
    time: str
    state: str = ""
    provisional: bool = False
    sequence: int | None = None


class Held(msgspec.Struct, kw_only=True):
    """Why no market data is shown."""

    message: str
    remedy: str


class Quotes(msgspec.Struct, kw_only=True):
    """Every symbol's last quote."""

    items: list[Quote] = []
    held: Held | None = None


class Bounds(msgspec.Struct, kw_only=True):
    """From which silence a feed counts as late."""

    delayed_after_s: float
    learned: bool


class FeedView(msgspec.Struct, kw_only=True):
    """One feed and how far it can be trusted."""

    symbol: str
    state: str
    reason: str
    account: str
    market: str
    deadline: str | None
    last_tick: str | None
    canonical: str | None
    instrument_class: str | None
    market_changes: str | None
    calendar_mismatch: bool
    bounds: Bounds


class FeedViews(msgspec.Struct, kw_only=True):
    """Every feed."""

    items: list[FeedView] = []
    next_cursor: str | None = None
    count: int = 0
    limit: int = 0


class FindingView(msgspec.Struct, kw_only=True):
    """One thing that is not as the device counted it."""

    what: str
    ticks: int
    text: str = ""
    sequences: list[tuple[int, int]] = []


class StreamDayView(msgspec.Struct, kw_only=True):
    """One stream on one day."""

    stream: str
    state: str
    stored: int
    counted: int | None
    digest_stored: str
    digest_counted: str | None
    findings: list[FindingView]


class CertificateView(msgspec.Struct, kw_only=True):
    """What a certificate says."""

    symbol: str
    day: str
    state: str
    text: str
    streams: list[StreamDayView]
    made_at: str
    quarantined: int = 0


class SignedView(msgspec.Struct, kw_only=True):
    """A certificate and its signed form."""

    certificate: CertificateView
    signed: str


class _Header(msgspec.Struct):
    alg: str
    typ: str
    kid: str


@click.group(invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Show again every second until Ctrl-C.")
@json_option
@person_option
@click.pass_context
def feed(
    ctx: click.Context, *, watch: bool, as_json: bool, person: str | None, home: Path
) -> None:
    """Show the last quote and the feed state of each symbol; exit code 1 unless all are LIVE."""
    if ctx.invoked_subcommand is not None:
        return
    web = web_for(home, person)
    quotes = _once(web, as_json=as_json)
    while watch:
        time.sleep(WATCH_PERIOD_S)
        click.clear()
        quotes = _once(web, as_json=as_json)
    all_live = bool(quotes) and all(quote.state == LIVE for quote in quotes)
    ctx.exit(0 if all_live else 1)


def _once(web: Web, *, as_json: bool) -> list[Quote]:
    answer = web.get(QUOTES, Quotes)
    quotes = answer.items
    if answer.held is not None:
        click.echo(f"{answer.held.message} {answer.held.remedy}", err=True)
    if as_json:
        show_json(quotes)
    else:
        rows = [
            (
                q.symbol,
                q.bid,
                q.ask,
                q.state,
                q.time[11:23],
                "provisional" if q.provisional else "",
            )
            for q in sorted(quotes, key=lambda quote: quote.symbol)
        ]
        show_table(("symbol", "bid", "ask", "feed", "time", ""), rows)
    return quotes


@feed.command()
@json_option
@person_option
@click.pass_context
def states(ctx: click.Context, *, as_json: bool, person: str | None, home: Path) -> None:
    """Show why each feed is what it is and until when; exit code 1 unless all are LIVE or CLOSED."""
    web = web_for(home, person)
    found, page = list[FeedView](), web.get(FEEDS, FeedViews)
    found += page.items
    while page.next_cursor is not None:
        page = web.get(f"{FEEDS}?cursor={page.next_cursor}", FeedViews)
        found += page.items
    if as_json:
        show_json(found)
    else:
        rows = [
            (
                one.symbol,
                one.canonical or "?",
                one.state,
                (one.deadline or "")[:19],
                f"{one.bounds.delayed_after_s:g} s{' learned' if one.bounds.learned else ''}",
                f"{one.market}{' (ticks all the same)' if one.calendar_mismatch else ''}",
                one.reason,
            )
            for one in found
        ]
        heads = ("symbol", "is", "feed", "holds until", "late after", "market", "why")
        show_table(heads, rows)
        if page.limit:
            click.echo(f"{page.count:,} feeds; there may be {page.limit:,}.", err=True)
    ctx.exit(0 if found and all(one.state in EXPECTED for one in found) else 1)


class GapView(msgspec.Struct, kw_only=True):
    """One gap."""

    id: str
    symbol: str
    state: str
    reason: str
    recorded_by: str
    first_sequence: int | None
    last_sequence: int | None
    from_time: str | None
    until_time: str | None
    noticed_at: str
    problem: str
    repaired_at: str | None
    repaired_ticks: int | None


class GapViews(msgspec.Struct, kw_only=True):
    """Gaps, the newest first."""

    items: list[GapView] = []
    next_cursor: str | None = None


@feed.command()
@click.option("--symbol", help="Only this symbol, in the broker's spelling.")
@click.option("--all", "every", is_flag=True, help="Those that were repaired, too.")
@json_option
@person_option
@click.pass_context
def gaps(
    ctx: click.Context,
    *,
    symbol: str | None,
    every: bool,
    as_json: bool,
    person: str | None,
    home: Path,
) -> None:
    """List ticks that are missing; exit code 1 when there are any."""
    query = {"open": "false" if every else "true", "limit": "1000"}
    if symbol is not None:
        query["symbol"] = symbol
    found = web_for(home, person).get(GAPS, GapViews, **query).items
    if as_json:
        show_json(found)
    else:
        rows = [
            (
                one.symbol,
                one.state,
                _where(one),
                one.recorded_by,
                one.reason,
                one.problem
                or (f"{one.repaired_ticks} ticks fetched again" if one.repaired_at else ""),
            )
            for one in found
        ]
        show_table(("symbol", "state", "missing", "by", "why", "repair"), rows)
    ctx.exit(1 if any(one.repaired_at is None for one in found) else 0)


class DoubtedDayView(msgspec.Struct, kw_only=True):
    """What of one stream went into quarantine on one day."""

    day: str
    symbol: str
    stream: str
    ticks: int
    reasons: dict[str, int]


class DoubtedDayViews(msgspec.Struct, kw_only=True):
    """The newest day first."""

    items: list[DoubtedDayView] = []
    next_cursor: str | None = None


class DoubtedTickView(msgspec.Struct, kw_only=True):
    """A tick that the platform does not believe."""

    time: str | None
    event_ms: int
    bid: str | None
    ask: str | None
    last: str | None
    sequence: int
    stream: str
    reasons: list[str]


class DoubtedTickViews(msgspec.Struct, kw_only=True):
    """By their own times."""

    items: list[DoubtedTickView] = []
    next_cursor: str | None = None


@feed.command()
@click.argument("symbol", required=False)
@click.option("--ticks", "limit", type=click.IntRange(1, 10_000), help="Show so many of SYMBOL's.")
@json_option
@person_option
def quarantine(
    *, symbol: str | None, limit: int | None, as_json: bool, person: str | None, home: Path
) -> None:
    """Show which ticks the platform did not believe: stored, and left out of quotes and bars."""
    web = web_for(home, person)
    if limit is not None:
        if symbol is None:
            raise click.UsageError("name the SYMBOL whose ticks you want to see")
        _show_doubted(web, symbol, limit, as_json=as_json)
        return
    query = {"limit": "1000"} if symbol is None else {"limit": "1000", "symbol": symbol}
    found = web.get(QUARANTINE, DoubtedDayViews, **query).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one.day,
            one.symbol,
            one.stream[:8],
            one.ticks,
            ", ".join(f"{reason} {ticks}" for reason, ticks in one.reasons.items()),
        )
        for one in found
    ]
    show_table(("received", "symbol", "stream", "ticks", "why"), rows)


def _show_doubted(web: Web, symbol: str, limit: int, *, as_json: bool) -> None:
    found = web.get(DOUBTED, DoubtedTickViews, symbol=symbol, limit=str(limit)).items
    if as_json:
        show_json(found)
        return
    rows = [
        (one.time or f"{one.event_ms} ms", one.bid, one.ask, one.sequence, ", ".join(one.reasons))
        for one in found
    ]
    show_table(("time", "bid", "ask", "sequence", "why"), rows)


@feed.command()
@click.argument("symbol")
@click.argument("day")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the signed certificate in this file.",
)
@json_option
@person_option
@click.pass_context
def certificate(
    ctx: click.Context,
    *,
    symbol: str,
    day: str,
    target: Path | None,
    as_json: bool,
    person: str | None,
    home: Path,
) -> None:
    """Tell whether every tick of SYMBOL on DAY (UTC) is stored; exit code 1 unless it is."""
    answer = web_for(home, person).get(CERTIFICATE, SignedView, symbol=symbol, day=day)
    if target is not None:
        write_atomically(target, answer.signed.encode())
    _show_certificate(answer.certificate, as_json=as_json)
    ctx.exit(0 if answer.certificate.state == COMPLETE else 1)


@feed.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The published keys; without it those of this home.",
)
@json_option
@home_option
@click.pass_context
def verify(
    ctx: click.Context, *, file: Path, keys: Path | None, as_json: bool, home: Path
) -> None:
    """Verify the certificate in FILE without a platform; exit code 1 when it is not genuine."""
    keys = keys or Home(home).trust / "evidence-keys.jwks"
    found = verified(file.read_text("ascii", errors="replace").strip(), keys.read_bytes())
    if found is None:
        click.echo("This certificate is not genuine: no published key signed it.", err=True)
        ctx.exit(1)
    _show_certificate(found, as_json=as_json)


def verified(signed: str, jwks: bytes) -> CertificateView | None:
    """What a signed certificate says; None when none of the keys signed exactly this."""
    parts = signed.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, certificate, signature
        return None
    try:
        header = msgspec.json.decode(base64url_decode(parts[0]), type=_Header)
        key = StaticKeySet.from_jwks(jwks).find(header.kid)
        signature = base64url_decode(parts[2])
        if header.alg != "EdDSA" or header.typ != CERTIFICATE_TYPE or key is None:
            return None
        if not key.verify(signature, f"{parts[0]}.{parts[1]}".encode()):
            return None
        return msgspec.json.decode(base64url_decode(parts[1]), type=CertificateView)
    except (ValueError, msgspec.MsgspecError):
        return None


def _show_certificate(found: CertificateView, *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    click.echo(f"{found.symbol} {found.day}: {found.state}, {found.text} ticks{_doubted(found)}")
    rows = [
        (
            one.stream[:8],
            one.state,
            one.stored,
            "?" if one.counted is None else one.counted,
            "; ".join(map(_finding, one.findings)) or one.digest_stored,
        )
        for one in found.streams
    ]
    show_table(("stream", "state", "stored", "counted", "findings or digest"), rows)


def _doubted(found: CertificateView) -> str:
    return f", {found.quarantined:,} of them in quarantine" if found.quarantined else ""


def _finding(found: FindingView) -> str:
    where = ", ".join(f"{first}-{last}" for first, last in found.sequences[:5])
    return " ".join(
        filter(None, (found.what, str(found.ticks or ""), found.text, where and f"at {where}"))
    )


def _where(gap: GapView) -> str:
    if gap.first_sequence is not None:
        return f"{gap.first_sequence}-{gap.last_sequence}"
    return f"{(gap.from_time or '')[:19]} … {(gap.until_time or 'now')[:19]}"
