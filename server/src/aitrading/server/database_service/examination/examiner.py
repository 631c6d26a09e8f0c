"""Runs the probes one after the other; one store's failure never hides another's."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.examination.port import (
    STORE_NOT_REACHABLE,
    STORE_TOO_SLOW,
    Identity,
    StoreProbe,
)
from aitrading.server.kit.examination_api import STEPS, StepName, StepTaken, StoreExamination

STEP_TIMEOUT_S: Final = 5.0


class Examiner:
    """One examination at a time: probes write under names of their own, the same each time."""

    def __init__(self, probes: Sequence[StoreProbe], clock: Clock) -> None:
        self._probes = probes
        self._clock = clock
        self._turn = asyncio.Lock()

    async def examine(self) -> list[StoreExamination]:
        """Every store, step by step; raises for none of them."""
        async with self._turn, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(probe)) for probe in self._probes]
        return [task.result() for task in tasks]

    async def _one(self, probe: StoreProbe) -> StoreExamination:
        identity = Identity(adapter="unknown", verified=False, note="It could not be asked.")
        steps: list[StepTaken] = []
        for step in STEPS:
            if step == "connect" and not probe.connects:
                steps.append(StepTaken(step=step, state="none"))
            elif any(each.state == "failed" for each in steps) and not _must_clear(step, steps):
                steps.append(StepTaken(step=step, state="skipped"))
            else:
                taken, found = await self._step(probe, step)
                identity = found or identity
                steps.append(taken)
        return StoreExamination(
            store=probe.store,
            adapter=identity.adapter,
            verified=identity.verified,
            note=identity.note,
            steps=tuple(steps),
        )

    async def _step(self, probe: StoreProbe, step: StepName) -> tuple[StepTaken, Identity | None]:
        begun_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                answer = await getattr(probe, step)()
        except TimeoutError:
            return _failed(step, STORE_TOO_SLOW.error(store=probe.store, limit_s=STEP_TIMEOUT_S))
        except AitradingError as exc:
            return _failed(step, exc)
        except OSError as exc:
            reason = exc.strerror or str(exc) or type(exc).__name__
            return _failed(step, STORE_NOT_REACHABLE.error(store=probe.store, reason=reason))
        state = "none" if step == "authenticate" and not probe.connects else "ok"
        took_ms = round((self._clock.monotonic_ns() - begun_ns) / NS_PER_MS, 2)
        taken = StepTaken(step=step, state=state, took_ms=took_ms)
        return taken, answer if isinstance(answer, Identity) else None


def _must_clear(step: StepName, steps: Sequence[StepTaken]) -> bool:
    """What was written is deleted even when it could not be read."""
    written = any(each.step == "write" and each.state == "ok" for each in steps)
    return step == "delete" and written


def _failed(step: StepName, error: AitradingError) -> tuple[StepTaken, None]:
    return (
        StepTaken(
            step=step,
            state="failed",
            code=error.code,
            message=error.message,
            cause=error.spec.why,
            remedy=error.spec.remedy,
        ),
        None,
    )
