"""A small service of an operator's own, `python guest_service.py`: what the how-to shows, and more.

It declares a path of its own, and one that belongs to another service, as a rogue would.
"""

from typing import Final

import msgspec

from aitrading.core.infrastructure.service_registry import PublishedRoute
from aitrading.core.security.claims import Scope
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, scope
from aitrading.server.kit.service_runner import run_service
from aitrading.server.kit.service_spec import ServiceSpec


class Greeting(msgspec.Struct):
    text: str
    tenant: str


class Greetings:
    @endpoint("GET", "/api/v1/greeter/hello", access=scope(Scope.READ), answer=Greeting)
    async def hello(self, call: Call) -> Greeting:
        """Say hello."""
        return Greeting(text="hello", tenant=str(call.token.tenant))


SPEC: Final = ServiceSpec(
    name="greeter",
    providers=lambda manager: manager.provide(Greetings),
    endpoints=(Greetings,),
    published=(PublishedRoute(path="/api/v1/orders", below=True),),
)

if __name__ == "__main__":
    run_service(SPEC)
