"""How much less may be asked while a process is overloaded: in steps, bounded, and back again.

Pure: one number a second goes in, how long work waited; a step comes out. Step 0 is the whole limit,
each further one a smaller share of it. More load never gives a smaller step than less load would
have, and calm always leads back to step 0.

There are two steps: of those who ask for most (`load_demand`), and of the quiet. The quiet keep
theirs until the others are at the last step and that was not enough.
"""

from typing import Final

from aitrading.server.policy import LoadPolicy

WHOLE: Final = 100
"""Per cent."""


class LoadGovernor:
    """The state: the step, and for how long the load has spoken for another one."""

    __slots__ = ("_busy_s", "_calm_s", "_policy", "quiet_step", "step")

    def __init__(self, policy: LoadPolicy) -> None:
        self._policy = policy
        self._busy_s = self._calm_s = 0
        self.step = self.quiet_step = 0

    def observe(self, wait_ms: float) -> None:
        """Take one second's measurement.

        Between `relaxed_ms` and `overloaded_ms` nothing moves: what a step brought about must not
        undo the step.
        """
        policy, last = self._policy, len(self._policy.shares) - 1
        self._busy_s = self._busy_s + 1 if wait_ms >= policy.overloaded_ms else 0
        self._calm_s = self._calm_s + 1 if wait_ms <= policy.relaxed_ms else 0
        if self._busy_s >= policy.raise_after_s:
            is_last = self.step == last
            self._move(min(self.step + 1, last), min(self.quiet_step + is_last, last))
        elif self._calm_s >= policy.lower_after_s:
            self._move(max(self.step - 1, 0), max(self.quiet_step - 1, 0))

    def share(self, kind: str, *, is_quiet: bool = False) -> int:
        """How much of a limit of this kind there is now, in per cent; never below its floor."""
        step = self.quiet_step if is_quiet else self.step
        return max(self._policy.shares[step], self._policy.floors.get(kind, WHOLE))

    def _move(self, step: int, quiet_step: int) -> None:
        self.step, self.quiet_step = step, quiet_step
        self._busy_s = self._calm_s = 0
