"""Where a message ends is decided once: what could be read in two ways reaches no service."""

import json
from typing import Any

import pytest

AMBIGUOUS = {
    "both lengths": b"content-length: 6\r\ntransfer-encoding: chunked\r\n",
    "two lengths": b"content-length: 5\r\ncontent-length: 40\r\n",
    "a list of lengths": b"content-length: 5, 40\r\n",
    "a signed length": b"content-length: +5\r\n",
    "a length below nothing": b"content-length: -1\r\n",
    "chunks in disguise": b"transfer-encoding: xchunked\r\n",
    "chunks not at the end": b"transfer-encoding: chunked, identity\r\n",
    "a space before the colon": b"transfer-encoding : chunked\r\n",
}
ODD = {
    "a folded header": b"x-a: 1\r\n transfer-encoding: chunked\r\n",
    "a lone line feed": b"x-a: 1\ntransfer-encoding: chunked\r\n",
    "an end inside of a value": b"x-a: 1\rtransfer-encoding: chunked\r\n",
}
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: localhost\r\nx-request: smuggled\r\n\r\n"


def answers(edge: Any, head: bytes, rest: bytes) -> bytes:
    """Everything that comes back until the edge closes the connection."""
    with edge.connect("localhost", edge.context()) as tls:
        tls.settimeout(10)
        tls.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\n" + head + b"\r\n" + rest)
        return b"".join(iter(lambda: tls.recv(65536), b""))


@pytest.mark.parametrize("head", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_message_of_two_lengths_is_refused_and_nothing_behind_it_is_read(
    edge: Any, head: bytes
) -> None:
    told = answers(edge, head, SMUGGLED)
    assert told.split(b" ", 2)[1] in {b"400", b"501"}, told
    assert told.count(b"HTTP/1.1 ") == 1, told
    assert b"smuggled" not in told


@pytest.mark.parametrize("head", ODD.values(), ids=ODD.keys())
def test_what_is_odd_reaches_a_service_in_the_edges_own_form(edge: Any, head: bytes) -> None:
    told = answers(edge, head + b"connection: close\r\n", b"0\r\n\r\n")
    assert told.count(b"HTTP/1.1 ") == 1, told
    seen = json.loads(told.partition(b"\r\n\r\n")[2])["headers"]
    assert seen["content-length"] == "0"
    assert "transfer-encoding" not in seen
    assert not [value for value in seen.values() if {"\r", "\n"} & set(value)]


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
def test_no_method_shows_a_request_to_who_sent_it(edge: Any, method: str) -> None:
    answer = edge.request("/", method=method, headers={"x-secret": "hunter2"})
    assert answer.status in {400, 404, 405, 501}, answer
    assert b"hunter2" not in answer.body
