"""What holds for every test of the workspace."""

import signal

from hypothesis import settings

settings.register_profile("house", deadline=None)  # no test judges by the clock of a busy machine
settings.load_profile("house")

# Whoever starts the tests in the background may have them ignore Ctrl-C, and every platform that a
# test starts would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)
