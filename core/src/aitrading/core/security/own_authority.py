"""How a caller tells the edge that it knows the installation by its own authority.

The edge may show a certificate of a public authority to browsers. Devices and the platform's own
programs trust the installation's authority and pin its keys: they say so in the greeting (as one
more protocol of ALPN, RFC 7301) and are shown the installation's own certificate, under any name.
"""

import ssl
from typing import Final

OWN_AUTHORITY: Final = "aitrading"


def ask_for_own_certificate(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let connections of this context be shown the installation's own certificate."""
    context.set_alpn_protocols([OWN_AUTHORITY, "http/1.1"])
    return context
