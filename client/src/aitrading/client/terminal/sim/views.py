"""The broker's exact records as the structs of the package: lots, prices and money as doubles."""

from typing import Final

from aitrading.client.terminal.api.structs import (
    OrderCheckResult,
    OrderSendResult,
    TradeDeal,
    TradeOrder,
    TradePosition,
    TradeRequest,
)
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import (
    CheckResult,
    Deal,
    Order,
    Position,
    Request,
    Result,
)
from aitrading.client.terminal.sim.broker.units import LOT, points_of_double, units_of_double

_MSC: Final = 1_000


def lots_of(units: int) -> float:
    """Volume as the package counts it."""
    return units / LOT


def price_of(points: float, digits: int) -> float:
    """A price as the package tells it."""
    return float(points) / 10**digits


def request_of(request: TradeRequest, digits: int) -> Request:
    """The request in exact numbers; a price between two points stays recognisable as one."""

    def points(price: float) -> int:
        return points_of_double(price, digits)

    return Request(
        action=request.action,
        magic=request.magic,
        order=request.order,
        symbol=request.symbol,
        volume=units_of_double(request.volume),
        price=points(request.price),
        stoplimit=points(request.stoplimit),
        sl=points(request.sl),
        tp=points(request.tp),
        deviation=request.deviation,
        kind=request.type,
        filling=request.type_filling,
        time_kind=request.type_time,
        expiration_s=request.expiration,
        comment=request.comment,
        position=request.position,
        position_by=request.position_by,
    )


def result_of(result: Result, request: TradeRequest, digits: int) -> OrderSendResult:
    """The server's answer with the request beside it."""
    return OrderSendResult(
        retcode=int(result.retcode),
        deal=result.deal,
        order=result.order,
        volume=lots_of(result.volume),
        price=price_of(result.price, digits),
        bid=price_of(result.bid, digits),
        ask=price_of(result.ask, digits),
        comment=result.comment,
        request_id=result.request_id,
        retcode_external=result.retcode_external,
        request=request,
    )


def check_of(result: CheckResult, request: TradeRequest, unit: int) -> OrderCheckResult:
    """What the account would be, with the request beside it."""
    return OrderCheckResult(
        retcode=int(result.retcode),
        balance=result.balance / unit,
        equity=result.equity / unit,
        profit=result.profit / unit,
        margin=result.margin / unit,
        margin_free=result.margin_free / unit,
        margin_level=float(result.margin_level or 0),
        comment=result.comment,
        request=request,
    )


def position_of(
    position: Position, quote: Quote, profit: int, digits: int, unit: int
) -> TradePosition:
    """An open position at the prices of now."""
    return TradePosition(
        ticket=position.ticket,
        time=position.time_msc // _MSC,
        time_msc=position.time_msc,
        time_update=position.time_update_msc // _MSC,
        time_update_msc=position.time_update_msc,
        type=int(position.side),
        magic=position.magic,
        identifier=position.identifier,
        reason=int(position.reason),
        volume=lots_of(position.volume),
        price_open=price_of(float(position.price_open), digits),
        sl=price_of(position.sl, digits),
        tp=price_of(position.tp, digits),
        price_current=price_of(quote.price(position.side.opposite), digits),
        swap=position.swap / unit,
        profit=profit / unit,
        symbol=position.symbol,
        comment=position.comment,
        external_id="",
    )


def order_of(order: Order, price_current: int, digits: int) -> TradeOrder:
    """An order, waiting or done."""
    return TradeOrder(
        ticket=order.ticket,
        time_setup=order.time_setup_msc // _MSC,
        time_setup_msc=order.time_setup_msc,
        time_done=order.time_done_msc // _MSC,
        time_done_msc=order.time_done_msc,
        time_expiration=order.expiration_s,
        type=int(order.kind),
        type_time=int(order.time_kind),
        type_filling=int(order.filling),
        state=int(order.state),
        magic=order.magic,
        position_id=order.position,
        position_by_id=order.position_by,
        reason=int(order.reason),
        volume_initial=lots_of(order.volume_initial),
        volume_current=lots_of(order.volume_current),
        price_open=price_of(order.price, digits),
        sl=price_of(order.sl, digits),
        tp=price_of(order.tp, digits),
        price_current=price_of(price_current, digits),
        price_stoplimit=price_of(order.stoplimit, digits),
        symbol=order.symbol,
        comment=order.comment,
        external_id="",
    )


def deal_of(deal: Deal, digits: int, unit: int) -> TradeDeal:
    """A deal, or an operation on the balance."""
    return TradeDeal(
        ticket=deal.ticket,
        order=deal.order,
        time=deal.time_msc // _MSC,
        time_msc=deal.time_msc,
        type=int(deal.kind),
        entry=int(deal.entry),
        magic=deal.magic,
        position_id=deal.position,
        reason=int(deal.reason),
        volume=lots_of(deal.volume),
        price=price_of(deal.price, digits),
        commission=deal.commission / unit,
        swap=deal.swap / unit,
        profit=deal.profit / unit,
        fee=deal.fee / unit,
        symbol=deal.symbol,
        comment=deal.comment,
        external_id="",
    )
