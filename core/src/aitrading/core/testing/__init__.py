"""Fakes that ship: they pass the same contract suites as the real parts."""
