"""Results as the server words them."""

from collections.abc import Sequence

from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Deal, Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.units import rounded


def refused(retcode: Retcode) -> Result:
    """Nothing happened."""
    return Result(retcode=retcode, comment=retcode.text)


def answered(
    retcode: Retcode, quote: Quote, *, order: int = 0, price: int = 0, volume: int = 0
) -> Result:
    """Something happened, or would have at another price."""
    return Result(
        retcode=retcode,
        order=order,
        volume=volume,
        price=price,
        bid=quote.bid,
        ask=quote.ask,
        comment=retcode.text,
    )


def dealt(retcode: Retcode, quote: Quote, order: int, deals: Sequence[Deal]) -> Result:
    """Deals were made: the last one's ticket, the volume of all and their average price."""
    volume = sum(deal.volume for deal in deals)
    cost = sum(deal.volume * deal.price for deal in deals)
    return Result(
        retcode=retcode,
        deal=deals[-1].ticket,
        order=order,
        volume=volume,
        price=rounded(cost, volume),
        bid=quote.bid,
        ask=quote.ask,
        comment=retcode.text,
    )
