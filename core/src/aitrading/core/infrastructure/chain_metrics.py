"""Chains as Prometheus readings, taken at each scrape."""

from collections.abc import Generator
from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.kit.clock import NS_PER_S

HOP_LATENCY: Final = Metric(
    name="aitrading_chain_hop_latency_s",
    kind=MetricKind.GAUGE,
    help="Latency of a hop of a chain in the last minute, by quantile (0.5 or 0.99).",
    labels=("chain", "hop", "quantile"),
)
HOP_PASSED: Final = Metric(
    name="aitrading_chain_hop_window_passed",
    kind=MetricKind.GAUGE,
    help="How much passed a hop of a chain in the last minute, failures included.",
    labels=("chain", "hop"),
)
HOP_FAILED: Final = Metric(
    name="aitrading_chain_hop_window_failed",
    kind=MetricKind.GAUGE,
    help="How much failed at a hop of a chain in the last minute.",
    labels=("chain", "hop"),
)
CHAIN_STATE: Final = Metric(
    name="aitrading_chain_state",
    kind=MetricKind.GAUGE,
    help="1 for the state a chain is in, 0 for the others, as this process knows it.",
    labels=("chain", "state"),
)


def publish_chains(chains: ChainRegistry, metrics: Metrics) -> None:
    """Include what this process knows about all chains in every scrape."""
    metrics.add_source(lambda: _readings(chains))


def _readings(chains: ChainRegistry) -> Generator[Reading]:
    for definition in chains.definitions():
        health = chains.health(definition.name)
        for state in ComponentState:
            value = float(state is health.state)
            yield Reading(CHAIN_STATE, value, (health.name, state.value))
        for hop in health.hops:
            labels = (health.name, hop.name)
            yield Reading(HOP_PASSED, float(hop.count), labels)
            yield Reading(HOP_FAILED, float(hop.failed), labels)
            yield Reading(HOP_LATENCY, hop.p50_ns / NS_PER_S, (*labels, "0.5"))
            yield Reading(HOP_LATENCY, hop.p99_ns / NS_PER_S, (*labels, "0.99"))
