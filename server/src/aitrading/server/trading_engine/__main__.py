"""`python -m aitrading.server.trading_engine`: started by the supervisor with a bundle."""

from aitrading.server.kit.service_runner import run_service
from aitrading.server.trading_engine.service import SPEC

run_service(SPEC)
