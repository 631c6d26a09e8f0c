"""The margin of one symbol: what is covered by an opposite position binds less."""

from collections.abc import Iterable

from aitrading.client.terminal.sim.broker.kinds import Side
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.broker.units import Ratio, ratio, rounded, times


def symbol_margin_micro(
    spec: SymbolSpec, positions: Iterable[Position], orders: Iterable[Order]
) -> int:
    """Add up a symbol's positions and waiting orders, in millionths of the minor unit.

    The uncovered volume binds the larger side's average. The covered one binds the average of
    both sides, times what the broker counts a covered lot as.
    """
    volumes, margins = [0, 0], [0, 0]
    for position in positions:
        volumes[position.side] += position.volume
        margins[position.side] += position.margin_micro
    waiting = sum(order.margin_micro for order in orders)
    larger = max(Side, key=lambda side: (volumes[side], margins[side]))
    covered = volumes[larger.opposite]
    if not covered:
        return margins[larger] + waiting
    if spec.margin_hedged_use_leg:
        return max(margins) + waiting
    uncovered = rounded(margins[larger] * (volumes[larger] - covered), volumes[larger])
    weight, scale = _covered_share(spec)
    hedged = rounded(sum(margins) * covered * weight, sum(volumes) * scale)
    return uncovered + hedged + waiting


def _covered_share(spec: SymbolSpec) -> Ratio:
    if spec.margin_hedged is None:
        return 1, 1
    numerator, denominator = ratio(spec.margin_initial or spec.contract_size)
    return times(ratio(spec.margin_hedged), (denominator, numerator))
