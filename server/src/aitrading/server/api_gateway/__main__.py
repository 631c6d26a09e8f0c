"""`python -m aitrading.server.api_gateway`: started by the supervisor with a bundle."""

from aitrading.server.api_gateway.service import SPEC
from aitrading.server.kit.service_runner import run_service

run_service(SPEC)
