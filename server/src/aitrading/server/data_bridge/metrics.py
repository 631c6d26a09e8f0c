"""What the data bridge measures."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

LINKS: Final = Metric(
    name="aitrading_bridge_links",
    kind=MetricKind.GAUGE,
    help="Devices connected now.",
)
LINKS_OPENED: Final = Metric(
    name="aitrading_bridge_links_opened_total",
    kind=MetricKind.COUNTER,
    help="Links whose greeting was accepted.",
)
LINKS_ENDED: Final = Metric(
    name="aitrading_bridge_links_ended_total",
    kind=MetricKind.COUNTER,
    help="Links that ended, by the reason.",
    labels=("reason",),
)
TICKS_RECEIVED: Final = Metric(
    name="aitrading_bridge_ticks_received_total",
    kind=MetricKind.COUNTER,
    help="New ticks taken from links; repeats after a reconnect are not counted.",
)
TICKS_DURABLE: Final = Metric(
    name="aitrading_bridge_ticks_durable_total",
    kind=MetricKind.COUNTER,
    help="Ticks on the bridge's disk; these are acknowledged.",
)
TICKS_MISSING: Final = Metric(
    name="aitrading_bridge_ticks_missing_total",
    kind=MetricKind.COUNTER,
    help="Ticks a device declared as lost for good.",
)
TICKS_QUARANTINED: Final = Metric(
    name="aitrading_bridge_ticks_quarantined_total",
    kind=MetricKind.COUNTER,
    help="Ticks that cannot be believed, by reason: stored, and left out of quotes and bars.",
    labels=("reason",),
)
SPOOL_BYTES: Final = Metric(
    name="aitrading_bridge_spool_bytes",
    kind=MetricKind.GAUGE,
    help="Bytes in the spool that the database service does not have yet.",
)
SHARES_REFUSED: Final = Metric(
    name="aitrading_bridge_shares_refused_total",
    kind=MetricKind.COUNTER,
    help="Refusals because one organisation holds all it may: links, streams, feeds or spool.",
    labels=("what",),
)
HELD_BACK: Final = Metric(
    name="aitrading_bridge_organisations_held_back",
    kind=MetricKind.GAUGE,
    help="Organisations whose ticks wait on their devices: their share of the spool is full.",
)
SEGMENTS_HANDED_OVER: Final = Metric(
    name="aitrading_bridge_segments_handed_over_total",
    kind=MetricKind.COUNTER,
    help="Segments stored by the database service and deleted here.",
)
SEGMENTS_QUARANTINED: Final = Metric(
    name="aitrading_bridge_segments_quarantined_total",
    kind=MetricKind.COUNTER,
    help="Damaged segments set aside for a person to look at.",
)
SUBSCRIBERS: Final = Metric(
    name="aitrading_bridge_subscribers",
    kind=MetricKind.GAUGE,
    help="Open quote streams.",
)
QUOTES_SENT: Final = Metric(
    name="aitrading_bridge_quotes_sent_total",
    kind=MetricKind.COUNTER,
    help="Quotes sent to subscribers.",
)
QUOTES_CONFLATED: Final = Metric(
    name="aitrading_bridge_quotes_conflated_total",
    kind=MetricKind.COUNTER,
    help="Quotes a subscriber did not get because a newer one replaced them in time.",
)
FEEDS_FORGOTTEN: Final = Metric(
    name="aitrading_bridge_feeds_forgotten_total",
    kind=MetricKind.COUNTER,
    help="Feeds that are listed no more: without a tick and a link for `feed.forget_after_s`.",
)
FEEDS: Final = Metric(
    name="aitrading_bridge_feeds",
    kind=MetricKind.GAUGE,
    help="Feeds by state.",
    labels=("state",),
)
