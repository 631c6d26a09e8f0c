"""A worker does not outlive who started it, however that one ended; elsewhere than on Linux mostly."""

import ctypes
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Be killed with the parent, where the system can do that.

    Everywhere else, so on Windows, only the end of the standard input does it, in a thread of its
    own; a call of the terminal's library that lets no other thread run keeps the worker. UNVERIFIED
    on Windows.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
