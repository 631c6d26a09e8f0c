"""The broker's clock as it is known before a tick arrives."""

import numpy as np

from aitrading.client.metatrader_connector.broker_clock import BrokerClock, BrokerOffset
from aitrading.client.metatrader_connector.journal import TickJournal


def known_clock(journal: TickJournal, broker: str, told_s: int | None) -> BrokerClock:
    """As the settings tell it, or as the ticks that were stored prove it."""
    if told_s is not None:
        journal.offset = BrokerOffset(offset_s=told_s)
        return BrokerClock(journal.offset, is_configured=True)
    stored = [one.cursor.last_ms for one in journal.streams if one.key.broker == broker]
    offset, newest_ms = journal.offset, max(stored, default=0)
    if offset is None or not newest_ms:
        return BrokerClock()
    [offset_s] = offset.of(np.array([newest_ms], np.int64)).tolist()
    return BrokerClock(offset, settled_ms=newest_ms - offset_s * 1_000)
