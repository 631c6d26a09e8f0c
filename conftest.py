"""What holds for every test of the workspace."""

from hypothesis import settings

settings.register_profile("house", deadline=None)  # no test judges by the clock of a busy machine
settings.load_profile("house")
