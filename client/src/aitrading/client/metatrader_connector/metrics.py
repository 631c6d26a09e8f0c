"""What the client measures."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

TICKS_TAKEN: Final = Metric(
    name="aitrading_client_ticks_taken_total",
    kind=MetricKind.COUNTER,
    help="Ticks taken from the terminal and stored on disk.",
)
TICKS_SENT: Final = Metric(
    name="aitrading_client_ticks_sent_total",
    kind=MetricKind.COUNTER,
    help="Ticks given to the link, repeats after a reconnect included.",
)
TICKS_PENDING: Final = Metric(
    name="aitrading_client_ticks_pending",
    kind=MetricKind.GAUGE,
    help="Ticks stored here that the server has not confirmed yet.",
)
TICKS_MISSING: Final = Metric(
    name="aitrading_client_ticks_missing_total",
    kind=MetricKind.COUNTER,
    help="Ticks this client can no longer send; each gap is in the ledger gaps.jsonl.",
    labels=("reason",),
)
HISTORY_CHANGED: Final = Metric(
    name="aitrading_client_history_changed_total",
    kind=MetricKind.COUNTER,
    help="Times the terminal's past ticks were not the ones it gave before.",
)
PRICES_NOT_REPRESENTABLE: Final = Metric(
    name="aitrading_client_prices_not_representable_total",
    kind=MetricKind.COUNTER,
    help="Prices that the symbol's digits cannot express; stored as absent.",
)
POLL_PAUSED: Final = Metric(
    name="aitrading_client_poll_paused_total",
    kind=MetricKind.COUNTER,
    help="Rounds in which nothing could be stored, by error code.",
    labels=("reason",),
)
SYMBOLS_SET_ASIDE: Final = Metric(
    name="aitrading_client_symbols_set_aside",
    kind=MetricKind.GAUGE,
    help="Symbols that give no ticks now and are asked for again by themselves.",
)
LINK_CONNECTED: Final = Metric(
    name="aitrading_client_link_connected",
    kind=MetricKind.GAUGE,
    help="1 while the link to the server is established.",
)
LINK_ROUND_TRIP: Final = Metric(
    name="aitrading_client_link_round_trip_s",
    kind=MetricKind.GAUGE,
    help="Round trip of the last ping on the link.",
)
