"""The OpenAPI document, made from endpoint declarations; a service contributes its fragment."""

import re
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec

from aitrading.core.kit.errors import ErrorSpec
from aitrading.server.kit.endpoints import (
    INTERNAL_PREFIX,
    Access,
    Endpoint,
    endpoints_of_class,
)
from aitrading.server.kit.peer_errors import ErrorAnswer

OPENAPI_VERSION: Final = "3.1.0"
REF_TEMPLATE: Final = "#/components/schemas/{name}"
_PATH_FIELD: Final = re.compile(r"{([a-z_]+)}")
Json = dict[str, Any]


def openapi_fragment(endpoints: Sequence[Endpoint]) -> Json:
    """`paths` and `components` of the public endpoints of one service."""
    public = [each for each in endpoints if not each.path.startswith(INTERNAL_PREFIX)]
    shapes = _shapes(public)
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REF_TEMPLATE)
    by_shape = dict(zip(shapes, schemas, strict=True))
    paths: Json = {}
    for each in public:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, by_shape)
    return {"paths": paths, "components": {"schemas": components}}


def openapi_document(fragments: Iterable[Json], *, version: str) -> Json:
    """One document of several fragments."""
    paths: Json = {}
    schemas: Json = {}
    for fragment in fragments:
        paths.update(fragment["paths"])
        schemas.update(fragment["components"]["schemas"])
    security = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "proof": {
            "type": "http",
            "scheme": "DPoP",
            "description": "RFC 9449: `Authorization: DPoP` and, in the header `DPoP`, a proof "
            "signed for this request by the key that signed the login.",
        },
        "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-aitrading"},
    }
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "aitrading", "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": schemas, "securitySchemes": security},
    }


def declared_endpoints(modules: Iterable[ModuleType]) -> list[tuple[str, Endpoint]]:
    """Every endpoint that a class of these modules declares, with the module's name, by path.

    Raises `ValueError` when two of them claim the same method and path.
    """
    found: dict[tuple[str, str], tuple[str, Endpoint]] = {}
    for module in modules:
        for owner in vars(module).values():
            if not isinstance(owner, type) or owner.__module__ != module.__name__:
                continue
            for declared in endpoints_of_class(owner):
                other = found.setdefault(
                    (declared.path, declared.method), (module.__name__, declared)
                )
                if other[1] is not declared:
                    raise ValueError(
                        f"{declared.method} {declared.path} is claimed by {other[0]} "
                        f"and {module.__name__}"
                    )
    return [found[key] for key in sorted(found)]


def access_text(access: Access) -> str:
    """Who may call, for people."""
    if access.public:
        return "anybody"
    if access.peers:
        return "services: " + ", ".join(sorted(access.peers))
    who = f"scope {access.scope}" if access.scope else "logged in"
    return f"{who}, proved recently" if access.step_up else who


def _shapes(endpoints: Sequence[Endpoint]) -> list[type]:
    shapes: list[type] = [ErrorAnswer]
    for each in endpoints:
        shapes += [shape for shape in (each.body, each.answer) if shape and shape not in shapes]
    return shapes


def _operation(declared: Endpoint, schemas: dict[type, Json]) -> Json:
    operation: Json = {
        "summary": declared.summary,
        "parameters": _parameters(declared),
        "responses": _responses(declared, schemas),
    }
    if declared.body is not None:
        operation["requestBody"] = {
            "required": not declared.body_optional,
            "content": _json(schemas[declared.body]),
        }
    if not declared.access.public:
        operation["security"] = [{"bearer": []}, {"proof": []}, {"cookie": []}]
    if declared.access.scope is not None:
        operation["x-scope"] = str(declared.access.scope)
    if declared.access.step_up:
        operation["x-step-up"] = True
    return operation


def _parameters(declared: Endpoint) -> list[Json]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_FIELD.findall(declared.path)
    ]
    in_query = [
        {
            "name": each.name,
            "in": "query",
            "required": each.required,
            "description": each.doc,
            "schema": {"type": "string"},
        }
        for each in declared.query
    ]
    return [*in_path, *in_query]


def _responses(declared: Endpoint, schemas: dict[type, Json]) -> Json:
    if declared.answer is None:
        responses: Json = {"204": {"description": "Done."}}
    else:
        good = {"description": "The answer.", "content": _json(schemas[declared.answer])}
        responses = {str(int(status)): good for status in declared.statuses}
    refusals: dict[str, list[ErrorSpec]] = {}
    for spec in declared.errors:
        refusals.setdefault(str(spec.http_status), []).append(spec)
    for status, specs in sorted(refusals.items()):
        codes = ", ".join(f"`{spec.code}`" for spec in specs)
        responses[status] = {"description": codes, "content": _json(schemas[ErrorAnswer])}
    responses["default"] = {"description": "Refused.", "content": _json(schemas[ErrorAnswer])}
    return responses


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
