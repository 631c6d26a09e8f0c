"""`python -m aitrading.server.data_bridge`."""

from aitrading.server.data_bridge.service import SPEC
from aitrading.server.kit.service_runner import run_service

if __name__ == "__main__":
    run_service(SPEC)
