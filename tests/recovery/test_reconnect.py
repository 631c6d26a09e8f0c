"""Connections of the running platform that come back by themselves."""

import pytest
from harness.episode import Episode
from harness.platform import Platform

from aitrading.client.metatrader_connector.poller import TERMINAL_RECONNECT
from aitrading.client.security.secure_websocket_client import LINK_RECONNECT
from aitrading.server.kit.nats_connection import BUS_RECONNECT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bus_reconnect_happens_in_every_service(nats_lost: Episode) -> None:
    nats_lost.require(BUS_RECONNECT)
    assert len([place for place in nats_lost.places if place.site is BUS_RECONNECT]) == 4


def test_client_link_comes_back_without_a_hole(edge_lost: Episode, hurt: Platform) -> None:
    edge_lost.require(LINK_RECONNECT)
    assert edge_lost.facts["client"]["link"]["fields"]["link"] != "CONNECTED"
    assert edge_lost.facts["ticks are stored"]
    stored = hurt.history("EURUSD")
    assert stored == list(range(1, len(stored) + 1))


def test_client_terminal_that_was_closed_is_connected_again(terminal_closed: Episode) -> None:
    terminal_closed.require(TERMINAL_RECONNECT)
    assert terminal_closed.facts["quotes move"]
