"""`python -m aitrading.server.database_service`: the service as one process."""

from aitrading.server.database_service.service import SPEC
from aitrading.server.kit.service_runner import run_service

if __name__ == "__main__":
    run_service(SPEC)
