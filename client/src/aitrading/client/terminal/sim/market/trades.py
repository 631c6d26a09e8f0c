"""Deals among the quotes of a symbol that an exchange lists: last price, volume, who was hit."""

from typing import Final

import numpy as np

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.sim.market.noise import Words, keys_of, uniform
from aitrading.client.terminal.sim.market.ticks import Whole

DEAL_SHARE: Final = 0.4
LOTS_MAX: Final = 40
_DEAL: Final = c.TICK_FLAG_LAST | c.TICK_FLAG_VOLUME


def with_deals(ticks: TickRows, keys: Words, counts: Whole) -> TickRows:
    """Let some ticks be deals; the others repeat the last one, as a terminal shows them.

    The first tick of a second is always a deal, so that no second depends on the one before.
    """
    if not len(ticks):
        return ticks
    starts = (counts.cumsum() - counts)[counts > 0]
    is_deal = uniform(keys_of(keys, 5), counts) < DEAL_SHARE
    is_deal[starts] = True
    is_buy = uniform(keys_of(keys, 6), counts) < 1 / 2
    lots = 1 + (uniform(keys_of(keys, 7), counts) * LOTS_MAX).astype(np.int64)
    side = np.where(is_buy, c.TICK_FLAG_BUY, c.TICK_FLAG_SELL)
    newest = np.maximum.accumulate(np.where(is_deal, np.arange(len(ticks)), 0))
    dealt = ticks.copy()
    dealt["last"] = np.where(is_buy, ticks["ask"], ticks["bid"])[newest]
    dealt["volume"] = dealt["volume_real"] = lots[newest]
    dealt["flags"] |= np.where(is_deal, _DEAL | side, 0).astype(np.uint32)
    dealt.flags.writeable = False  # it is shared between answers
    return dealt
