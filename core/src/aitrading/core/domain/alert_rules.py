"""Rules about prices that somebody wants to be told of: how they are written, and what they mean.

    EURUSD spread>20<12; * silence>30s; XAUUSD move>0.5%/60s; * gap>150

A rule is a symbol (`*`: every watched one), what is looked at, and a limit. `spread` is ask minus
bid, `gap` the step from one tick to the next, `move` the highest minus the lowest middle price
within a window; these three are in points or in per cent of the price. `silence` is the time
without a tick while the market is not closed. Behind `<` stands below which value an alert ends;
without it that is four fifths of the limit, so that a value on the limit does not tell for ever.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from aitrading.core.domain.error_codes import ALERT_RULE_MALFORMED
from aitrading.core.kit.errors import AitradingError

RULES_MAX: Final = 64
TEXT_MAX: Final = 4_096
WINDOW_S_MAX: Final = 24 * 3_600
SILENCE_S_MAX: Final = 7 * 24 * 3_600
POINTS_MAX: Final = 10**9
EVERY_SYMBOL: Final = "*"
CALM: Final = Decimal("0.8")
"""An alert ends below this share of its limit, unless the rule says otherwise."""
RULE_CHARS_MAX: Final = 128
_NUMBER: Final = r"\d{1,9}(?:\.\d{1,6})?"
_RULE: Final = re.compile(
    r"(?P<symbol>\*|[A-Za-z0-9][A-Za-z0-9._#+-]{0,63}) +(?P<what>[a-z]+)"
    rf">(?P<limit>{_NUMBER})(?P<unit>[%smh])?"
    rf"(?:<(?P<calm>{_NUMBER})(?P<calm_unit>[%smh])?)?"
    r"(?:/(?P<window>\d{1,6})(?P<window_unit>[smh]))?",
    re.ASCII,
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}


class Watched(StrEnum):
    """What a rule looks at."""

    SPREAD = "spread"
    MOVE = "move"
    GAP = "gap"
    SILENCE = "silence"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertRule:
    """One rule; `limit` and `calm` are points, per cent, or seconds of silence."""

    text: str
    symbol: str
    what: Watched
    limit: Decimal
    calm: Decimal
    is_percent: bool = False
    window_s: int = 0

    def applies_to(self, symbol: str) -> bool:
        """Whether the rule is about this symbol."""
        return self.symbol in (EVERY_SYMBOL, symbol)


def parse_rules(text: str) -> tuple[AlertRule, ...]:
    """Read rules; raises `ALERT_RULE_MALFORMED` with the rule and what was expected."""
    if len(text) > TEXT_MAX:
        raise _malformed(text, f"more than {TEXT_MAX} characters")
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) > RULES_MAX:
        raise _malformed(text, f"more than {RULES_MAX} rules")
    rules = tuple(_rule(" ".join(part.split())) for part in parts)
    seen: set[tuple[str, Watched, int]] = set()
    for rule in rules:
        key = (rule.symbol, rule.what, rule.window_s)
        if key in seen:
            raise _malformed(rule.text, "there is another rule about the same")
        seen.add(key)
    return rules


def _rule(text: str) -> AlertRule:
    found = _RULE.fullmatch(text)
    if found is None or len(text) > RULE_CHARS_MAX:
        raise _malformed(text, "a rule looks like `EURUSD spread>20` or `* move>0.5%/60s`")
    if found["what"] not in set(Watched):
        raise _malformed(text, f"what can be watched is: {', '.join(Watched)}")
    what, unit = Watched(found["what"]), found["unit"] or ""
    _require_unit(text, what, unit)
    limit = _amount(found["limit"], unit)
    calm = limit * CALM
    if found["calm"]:
        calm_unit = found["calm_unit"] or ""
        _require_unit(text, what, calm_unit)
        if (calm_unit == "%") != (unit == "%"):
            raise _malformed(text, "both values are of one kind")
        calm = _amount(found["calm"], calm_unit)
    rule = AlertRule(
        text=text,
        symbol=found["symbol"],
        what=what,
        limit=limit,
        calm=calm,
        is_percent=unit == "%",
        window_s=int(found["window"]) * _SECONDS[found["window_unit"]] if found["window"] else 0,
    )
    _require_sense(rule)
    return rule


def _require_unit(text: str, what: Watched, unit: str) -> None:
    if what is Watched.SILENCE and unit not in _SECONDS:
        raise _malformed(text, "silence is a time, for example `silence>30s`")
    if what is not Watched.SILENCE and unit not in ("", "%"):
        raise _malformed(text, f"{what} is in points or in per cent")


def _amount(digits: str, unit: str) -> Decimal:
    return Decimal(digits) * _SECONDS.get(unit, 1)


def _require_sense(rule: AlertRule) -> None:
    largest = 100 if rule.is_percent else POINTS_MAX
    if rule.what is Watched.SILENCE:
        largest = SILENCE_S_MAX
    if not 0 < rule.limit <= largest:
        raise _malformed(rule.text, f"the limit is above 0 and at most {largest}")
    if rule.calm >= rule.limit:
        raise _malformed(rule.text, "an alert ends below a value that is below the limit")
    if (rule.what is Watched.MOVE) != bool(rule.window_s):
        raise _malformed(rule.text, "`move`, and only that, has a window: `move>50/60s`")
    if rule.window_s > WINDOW_S_MAX:
        raise _malformed(rule.text, "a window is at most 24 h")


def problem_of(text: str) -> str | None:
    """Why these rules would not be understood; None when they are."""
    try:
        parse_rules(text)
    except AitradingError as exc:
        return exc.message
    return None


def _malformed(text: str, reason: str) -> AitradingError:
    return ALERT_RULE_MALFORMED.error(rule=ascii(text[:120]), reason=reason)
