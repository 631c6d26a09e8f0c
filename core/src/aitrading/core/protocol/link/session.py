"""Both ends of a link as state machines: messages in, events and messages out, no I/O.

After each call the owner sends `outgoing()`; `poll()` lets time act. A reconnect is a new
session: HELLO_ACK tells how far each stream is durable, and the client goes on from there.
"""

from aitrading.core.protocol.link.client_session import ClientProfile, ClientSession
from aitrading.core.protocol.link.machine import LinkLimits, SessionState, SessionStatistics
from aitrading.core.protocol.link.server_session import (
    Refusal,
    ServerProfile,
    ServerSession,
    StreamPosition,
)

__all__ = [
    "ClientProfile",
    "ClientSession",
    "LinkLimits",
    "Refusal",
    "ServerProfile",
    "ServerSession",
    "SessionState",
    "SessionStatistics",
    "StreamPosition",
]
