"""What the doctor says of a terminal: cause and remedy for each thing that is not well."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from aitrading.client.findings import Finding, Verdict
from aitrading.client.metatrader_connector.error_codes import (
    STREAMS_FULL,
    SYMBOL_SILENT,
    SYMBOL_WITHOUT_TICK,
)
from aitrading.client.metatrader_connector.terminal_report import Permissions, TerminalReport
from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.errors import TERMINAL_SYMBOL_UNKNOWN

SLOW_PING_MS: Final = 500.0
SLOW_ANSWER_MS: Final = 250.0
SLOW_CLOCK_S: Final = 2.0
WRONG_CLOCK_S: Final = 30.0
_SPECS: Final = {
    spec.code: spec
    for spec in (SYMBOL_SILENT, SYMBOL_WITHOUT_TICK, STREAMS_FULL, TERMINAL_SYMBOL_UNKNOWN)
}


class Advice(NamedTuple):
    """Why the terminal says a number, and what to do."""

    why: str
    remedy: str


_PIPE: Final = Advice(
    "the connection to the terminal broke: it was closed, restarted or is updating itself",
    "Wait until the terminal stands still; if it stays so, restart it.",
)
ADVICE: Final = {
    c.RES_E_INTERNAL_FAIL: _PIPE,
    c.RES_E_INTERNAL_FAIL_SEND: _PIPE,
    c.RES_E_INTERNAL_FAIL_RECEIVE: _PIPE,
    c.RES_E_INTERNAL_FAIL_INIT: Advice(
        "the terminal was not found, or could not be started",
        "Install MetaTrader 5 (64 bit) and start it once as the user that runs the client; if it is "
        "in a folder of its own, name its terminal64.exe in `terminal_pool.paths`.",
    ),
    c.RES_E_INTERNAL_FAIL_CONNECT: Advice(
        "no terminal runs that this user can reach, or it ended meanwhile",
        "Start the terminal as the user that runs the client; either both or none of them as "
        "administrator. With several terminals name the right one in `terminal_pool.paths`.",
    ),
    c.RES_E_INTERNAL_FAIL_TIMEOUT: Advice(
        "the terminal runs and does not answer: it still starts, updates itself, shows a dialogue, or "
        "another program holds its only connection",
        "Close every dialogue in the terminal and log it in; end other programs that use its Python "
        "interface; then restart the terminal. Under Wine look whether terminal and Python share a "
        "prefix.",
    ),
    c.RES_E_AUTH_FAILED: Advice(
        "the broker refused the login: number, password or server is wrong, or it wants a one-time "
        "password or a certificate",
        "Log in by hand in the terminal and let it save the login; or correct the stored one: "
        "aitrading-client credentials set.",
    ),
    c.RES_E_INVALID_VERSION: Advice(
        "terminal and package do not fit each other",
        "Update both: Help, Check for updates in the terminal; pip install -U MetaTrader5.",
    ),
    c.RES_E_AUTO_TRADING_DISABLED: Advice(
        "the terminal lets no program of outside in",
        "Tools, Options, Expert Advisors: let the Python interface trade.",
    ),
    c.RES_E_NO_MEMORY: Advice(
        "the terminal has no memory left",
        "Close charts in the terminal or restart it; fewer bars in a chart (Tools, Options, Charts).",
    ),
}
_OTHER: Final = Advice(
    "the terminal answered with a failure", "Look at the terminal's journal; restart the terminal."
)


def terminal_findings(report: TerminalReport) -> list[Finding]:
    """Everything that was looked at; of a terminal that does not answer, only that."""
    if report.problem:
        return [_problem(report), *_symbols(report)]
    return [
        _answers(report),
        Finding("login", Verdict.OK, f"account {report.account}"),
        _broker(report),
        *_trading(report.may_trade),
        _broker_time(report),
        *_symbols(report),
    ]


def _problem(report: TerminalReport) -> Finding:
    number = report.number
    what = "login" if number == c.RES_E_AUTH_FAILED else "terminal"
    if number is None:
        return Finding(what, Verdict.BROKEN, f"{report.said} ({report.problem})",
                       "Look it up in docs/how-to/troubleshooting.md, and in the client's "
                       "log.")  # fmt: skip
    advice = ADVICE.get(number, _OTHER)
    return Finding(what, Verdict.BROKEN, f"{report.said}: {advice.why}", advice.remedy)


def _answers(report: TerminalReport) -> Finding:
    found = f"build {report.build}, answered in {report.answer_ms} ms"
    if report.answer_ms is not None and report.answer_ms > SLOW_ANSWER_MS:
        return Finding("terminal", Verdict.WARNING, found,
                       "Orders wait as long: close charts and experts, look at the machine's "
                       "load.")  # fmt: skip
    return Finding("terminal", Verdict.OK, found)


def _broker(report: TerminalReport) -> Finding:
    if not report.has_broker:
        return Finding("broker link", Verdict.BROKEN, "the terminal has no connection to its broker",
                       "Look at the lower right corner of the terminal: choose another access "
                       "point, check the network, log in again.")  # fmt: skip
    found = f"connected, ping {report.ping_ms:g} ms"
    if report.ping_ms is not None and report.ping_ms > SLOW_PING_MS:
        return Finding("broker link", Verdict.WARNING, found,
                       "Choose a nearer access point in the terminal.")  # fmt: skip
    return Finding("broker link", Verdict.OK, found)


def _trading(may: Permissions | None) -> Iterator[Finding]:
    """Ticks come without any of them; orders do not."""
    if may is None:
        return
    missing = [
        (may.terminal, "the terminal", "Press Algo Trading in the terminal."),
        (may.interface, "the terminal for programs of outside",
         "Tools, Options, Expert Advisors: let the Python interface trade."),
        (may.account, "the broker for this account",
         "Log in with the main password, not the investor's; ask the broker."),
        (may.programs, "the broker for programs", "Ask the broker to allow automated trading."),
    ]  # fmt: skip
    barred = [(who, remedy) for allowed, who, remedy in missing if not allowed]
    if not barred:
        yield Finding("trading", Verdict.OK, "allowed by terminal and account")
    for who, remedy in barred:
        yield Finding("trading", Verdict.WARNING, f"not allowed by {who}; ticks come all the same",
                      remedy)  # fmt: skip


def _broker_time(report: TerminalReport) -> Finding:
    offset_s = report.broker_offset_s
    if offset_s is None:
        return Finding("broker time", Verdict.UNVERIFIED, "not known: no tick has arrived",
                       "Wait for a tick, or set `connector.broker_offset_s`.")  # fmt: skip
    found = f"UTC{offset_s / 3_600:+g} h"
    if report.is_offset_configured:
        return Finding("broker time", Verdict.OK, f"{found}, as the settings say")
    if report.is_offset_certain:
        return Finding("broker time", Verdict.OK, f"{found}, proved by ticks as they arrived")
    return Finding("broker time", Verdict.UNVERIFIED, f"{found}, as the last ticks suggest",
                   "Nothing to do while the market is closed: arriving ticks decide. Ticks of which "
                   "the time is not certain wait in the terminal.")  # fmt: skip


def _symbols(report: TerminalReport) -> Iterator[Finding]:
    if report.symbols is None:
        return
    if not report.symbols and not report.problem:
        yield Finding("symbols", Verdict.WARNING, "none is collected",
                      "Show symbols in Market Watch, or name them in `connector.symbols`.")  # fmt: skip
    elif not report.problem:
        yield Finding("symbols", Verdict.OK, f"{report.symbols} are collected")
    for words in report.set_aside:
        symbol, _, why = words.partition(": ")
        spec = _SPECS.get(why.split(",", 1)[0])
        yield Finding(f"symbol {symbol}", Verdict.WARNING, f"set aside: {why}",
                      spec.remedy if spec else "See the client's log.")  # fmt: skip
    if report.hidden:
        yield Finding("hidden symbols", Verdict.WARNING, ", ".join(report.hidden),
                      "Nothing to do if that was meant: show them in Market Watch, and they go on "
                      "where they stopped.")  # fmt: skip


def clock_finding(ahead_s: float | None) -> Finding:
    """The clock of the machine against the server's."""
    if ahead_s is None:
        return Finding("clock", Verdict.UNVERIFIED, "the server told no time")
    found = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the server's"
    if abs(ahead_s) <= SLOW_CLOCK_S:
        return Finding("clock", Verdict.OK, found)
    verdict = Verdict.BROKEN if abs(ahead_s) > WRONG_CLOCK_S else Verdict.WARNING
    return Finding("clock", verdict, f"{found}: ticks look older or newer than they are",
                   "Let the machine's clock be set by a time server (Windows: w32tm /resync; Linux: "
                   "timedatectl set-ntp true).")  # fmt: skip
