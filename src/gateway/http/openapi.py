"""The OpenAPI document: FastAPI's own, with the inference routes and the gateway's errors put into it."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI

from gateway.surfaces.openai_chat_schema import request_schema, response_schema

_ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "trace_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "description": "OpenAI's type, on which its SDKs branch."},
                "param": {"type": ["string", "null"], "description": "Path of the field at fault."},
                "code": {"type": "string", "description": "Stable; says more than the type."},
                "trace_id": {"type": "string", "format": "uuid", "description": "As in x-trace-id."},
            },
        }
    },
    "examples": [
        {
            "error": {
                "message": "the API key is not valid",
                "type": "authentication_error",
                "param": None,
                "code": "invalid_api_key",
                "trace_id": "4f102967-382a-47d9-a105-e96d54c7dc79",
            }
        }
    ],
}

_MEANINGS: Final = {
    "400": "Malformed, or the model cannot honour a parameter",
    "401": "No such key",
    "403": "Not allowed to this tenant",
    "404": "No such model",
    "408": "The body took too long to arrive",
    "413": "Body too large",
    "424": "The model failed",
    "429": "Over a limit; see Retry-After",
    "500": "A bug of the gateway",
    "502": "The backend failed",
    "503": "Overloaded or shutting down; see Retry-After",
    "504": "The backend was too slow",
}


def _errors(*statuses: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        status: {"description": _MEANINGS[status], "content": {"application/json": {"schema": schema}}}
        for status in statuses
    }


_CHAT_COMPLETIONS: Final[dict[str, Any]] = {
    "summary": "Chat, streamed or in one piece",
    "description": (
        "OpenAI's Chat Completions. What the chosen model cannot honour gets a 400 that names it. "
        "`x_evaluation` adds ground truth and retrieved chunks for evaluation, and is sent to no model."
    ),
    "tags": ["inference"],
    "operationId": "chat_completions",
    "parameters": [
        {"name": "x-trace-id", "in": "header", "schema": {"type": "string", "format": "uuid"}},
        {"name": "traceparent", "in": "header", "schema": {"type": "string"}},
        {"name": "x-tenant-id", "in": "header", "schema": {"type": "string"}},
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": request_schema()}}},
    "responses": {
        "200": {
            "description": "The reply; with `stream: true` as server-sent events that end with `[DONE]`",
            "content": {
                "application/json": {"schema": response_schema()},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        **_errors(*_MEANINGS),
    },
}
_MODEL_ERRORS: Final = {"/v1/models": ("401",), "/v1/models/{model_id}": ("401", "404")}


def document(app: FastAPI) -> None:
    """Make `app` describe what it really answers, as FastAPI documents that this is done."""
    generate = app.openapi

    def openapi() -> Mapping[str, Any]:
        described = generate()
        components = described.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas["Error"] = _ERROR_SCHEMA
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path, statuses in _MODEL_ERRORS.items():
            responses = described["paths"][path]["get"]["responses"]
            responses.pop("422", None)
            responses.update(_errors(*statuses))
        described["paths"]["/v1/chat/completions"] = {"post": _CHAT_COMPLETIONS}
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
        return described

    app.openapi = openapi  # type: ignore[assignment,method-assign]
