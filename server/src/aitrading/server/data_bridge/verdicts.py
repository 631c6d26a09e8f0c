"""What is true of a feed, by its ticks, its rhythm, its link and the calendar, and for how long."""

from dataclasses import dataclass, replace
from typing import Final

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.sessions import NO_CALENDAR, MarketNow, MarketState
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.tick_rates import DELAYED_LEAST_S, HOUR_S, Deadlines

NEVER: Final = "no tick since the bridge started"
JUDGED_AGAIN_S: Final = 60.0
"""No verdict is left alone for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """Everything that decides a feed's state."""

    event_age_s: float | None
    """Between the newest tick's own time and now; None before the first."""
    silent_s: float
    """Since anything arrived, or since the stream was opened."""
    is_linked: bool
    limits: Deadlines | None = None
    """What the feed's own rhythm allows; None: the fixed bounds."""
    market: MarketNow = NO_CALENDAR
    in_state_s: float | None = None
    """Since when the market is as it is; None when that is unknown or long ago."""
    until_change_s: float | None = None
    is_mismatch: bool = False
    why_silent: str = ""
    """What the client says of ticks that do not come."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of a feed, why, and for how long without news."""

    state: FeedState
    reason: str
    holds_s: float | None = None


def judge(view: FeedView, settings: FeedSettings) -> Verdict:
    """State and reason. Only a calendar closes a feed, and only one that the feed has not disproved."""
    limits = view.limits or _fixed(settings)
    silent_s, age_s = _ages(view)
    is_closed = view.market.state is MarketState.CLOSED and not view.is_mismatch
    is_fresh = (
        age_s is not None and silent_s < limits.delayed_s and age_s < settings.delayed_after_s
    )
    if is_closed and not (is_fresh and view.is_linked):
        link = "" if view.is_linked else "; the device's link is down"
        reason = f"the market is closed: {view.market.why}{link}"
        return Verdict(FeedState.CLOSED, reason, view.until_change_s)
    verdict = _judged_by_age(view, settings, limits, silent_s, age_s)
    if view.why_silent and view.is_linked and verdict.state is not FeedState.LIVE:
        return replace(verdict, reason=f"{verdict.reason}; its client says: {view.why_silent}")
    if verdict.state is FeedState.LIVE and view.market.state is MarketState.CLOSED:
        return replace(verdict, reason=f"ticks although the calendar says: {view.market.why}")
    return verdict


def known_for_s(view: FeedView, verdict: Verdict, settings: FeedSettings, wall_s: float) -> float:
    """How long the verdict stays true at least while nothing happens but ticks.

    The rhythm is another one at each full hour. Ticks teach a LIVE feed's rhythm, and may shorten
    its deadline, but never to less than the least silence that counts.
    """
    moments = [HOUR_S - wall_s % HOUR_S, JUDGED_AGAIN_S]
    if verdict.holds_s is not None:
        moments.append(verdict.holds_s)
    if view.until_change_s is not None:
        moments.append(view.until_change_s)
    if verdict.state is FeedState.LIVE:
        moments += DELAYED_LEAST_S, settings.delayed_after_s
    return min(moments)


def _judged_by_age(
    view: FeedView,
    settings: FeedSettings,
    limits: Deadlines,
    silent_s: float,
    age_s: float | None,
) -> Verdict:
    """Silence is held against the feed's own rhythm, the ticks' own time against the fixed bounds."""
    own_s = silent_s if age_s is None else age_s

    def left(silence_limit_s: float, fixed_s: float) -> float:
        return min(silence_limit_s - silent_s, fixed_s - own_s)

    to_delayed = left(limits.delayed_s, settings.delayed_after_s)
    to_stale = left(limits.stale_s, settings.stale_after_s)
    to_dead = left(limits.dead_s, settings.dead_after_s)
    old = _rounded(max(silent_s, own_s))
    if to_dead <= 0:
        return Verdict(FeedState.DEAD, f"nothing newer than {old}")
    if age_s is None:
        return Verdict(FeedState.UNKNOWN, NEVER, to_dead)
    if not view.is_linked:
        return Verdict(FeedState.STALE, "the device's link is down", to_dead)
    if to_stale <= 0:
        return Verdict(FeedState.STALE, f"the newest tick is {old} old", to_dead)
    if to_delayed <= 0:
        return Verdict(FeedState.DELAYED, f"the newest tick is {old} old", to_stale)
    return Verdict(FeedState.LIVE, "ticks arrive in time", to_delayed)


def _ages(view: FeedView) -> tuple[float, float | None]:
    """How long nothing came and how old the newest tick is; a closed market counts for neither."""
    silent_s, age_s = view.silent_s, view.event_age_s
    if view.market.state is MarketState.OPEN and view.in_state_s is not None:
        silent_s = min(silent_s, view.in_state_s)
        age_s = None if age_s is None else min(age_s, view.in_state_s)
    return silent_s, age_s


def _fixed(settings: FeedSettings) -> Deadlines:
    return Deadlines(
        settings.delayed_after_s, settings.stale_after_s, settings.dead_after_s, is_learned=False
    )


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004
