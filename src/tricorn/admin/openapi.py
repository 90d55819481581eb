"""The OpenAPI document (3.1), made of the routes.

Knows: routes, what OpenAPI wants. Must not know: requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tricorn import __version__
from tricorn.admin.routes import Field, Route

ANSWER = {
    "type": "object",
    "required": ["ok"],
    "properties": {
        "ok": {"type": "boolean", "description": "Whether it went well, or goes on."},
        "done": {"type": "boolean", "description": "Whether it is done."},
        "say": {"type": "string", "description": "A sentence."},
        "detail": {"type": "string", "description": "Lines that belong to it, such as a traceback."},
        "data": {"description": "What was asked for."},
    },
}

#: What each status means; the body is an answer all the same.
STATUSES = {
    "200": "It is done.",
    "202": "It is not done yet, and goes on.",
    "400": "The request was not understood.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from the page of another site.",
    "409": "It has failed, or was refused.",
    "503": "The server does not answer.",
}


def document(routes: Sequence[Route], *, has_token: bool) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    components: dict[str, Any] = {"schemas": {"Answer": ANSWER}}
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Tricorn", "version": __version__, "summary": "Control of a running server"},
        "paths": paths,
        "components": components,
    }
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}-{route.path.rpartition('/')[2]}",
        "summary": route.summary,
        "responses": {status: _response(route, status, text) for status, text in STATUSES.items()},
    }
    fields = tuple(route.known.values())
    if route.method == "GET" and fields:
        operation["parameters"] = [
            {"name": each.name, "in": "query", "required": each.is_needed, **_described(each)}
            for each in fields
        ]
    elif fields:
        schema = {
            "type": "object",
            "properties": {each.name: {"type": each.type, "description": each.doc} for each in fields},
            "required": [each.name for each in fields if each.is_needed],
            "additionalProperties": False,
        }
        is_needed = any(each.is_needed for each in fields)
        operation["requestBody"] = {
            "required": is_needed,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _described(each: Field) -> dict[str, Any]:
    return {"description": each.doc, "schema": {"type": each.type}}


def _response(route: Route, status: str, text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    if status == "200" and route.render is not None:
        content = {"text/plain": {"schema": {"type": "string"}}}
    elif status == "200" and route.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"description": text, "content": content}
