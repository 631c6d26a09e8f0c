"""What the doctor of this host asks of the database service."""

from typing import Final

from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.examination.examiner import Examiner
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers
from aitrading.server.kit.examination_api import EXAMINE_PATH, StoreExamination

HOST: Final = peers(ADMIN_SERVICE)


class ExaminationEndpoints:
    """For the host alone: it writes into every store and says where they are."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner

    @endpoint(
        "POST",
        EXAMINE_PATH,
        access=HOST,
        summary="Connect, authenticate, write, read and delete on each of the five stores.",
        answer=list[StoreExamination],
        timeout_s=Timeouts.HEAVY,
    )
    async def examine(self, _: Call) -> list[StoreExamination]:
        """Past the breakers: it asks the stores themselves, and opens or closes none."""
        return await self._examiner.examine()
