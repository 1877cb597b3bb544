"""The OpenAPI document: what the routes take and answer, with an example of each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI

from costagg.api import examples
from costagg.api.faults import PROBLEM_JSON
from costagg.api.page import Page
from costagg.api.query import CostParameters, HoursParameters
from costagg.api.replying import csv_body
from costagg.api.table import DIMENSIONS, HOURS_COLUMNS, NUMBERS, Row, cost_columns

TENANT_COSTS: Final = "/v1/tenants/{tenant_id}/costs"
ALL_COSTS: Final = "/v1/costs"
HOURS: Final = "/v1/hours"

DESCRIPTION: Final = """
What was spent on models: by tenant, hour, day or month, to the line of the bill.

Send `Authorization: Bearer <key>`. A tenant's key sees that tenant alone; the roles `billing` and `operator`
see all. Times are UTC, `to` is no part of the answer. Amounts, prices and quantities are decimals in strings;
what is unknown is null and never 0, and a row is known in full or not at all. `completeness` says how far a
row is: `open` (it may change until its hours are closed), `closed`, `unpriced` (price or quantity not known).

Pages follow `next_cursor`, or the header `Link` with `rel="next"` (relative to the address asked for); a page
may be shorter than `limit` and yet have a next one. Every answer has a strong ETag over its content.
"""

_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
_DECIMAL: Final[dict[str, Any]] = {
    "type": ["string", "null"],
    "pattern": r"^-?\d+(\.\d+)?$",
    "description": "A decimal in full; null where it is not known.",
}
_COUNT: Final[dict[str, Any]] = {"type": ["integer", "null"]}
_DECIMALS: Final = frozenset({"quantity", "unit_price_usd", "amount_usd", "known_amount_usd"})


def _column(name: str) -> dict[str, Any]:
    if name in _DECIMALS:
        return _DECIMAL
    return _COUNT if name in NUMBERS else _TEXT


def _object(properties: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    return {**schema, "required": list(properties)} if required else schema


def _page_schema(columns: tuple[str, ...], about: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    return _object(
        {
            **about,
            "from": {"type": "string", "format": "date"},
            "to": {"type": "string", "format": "date"},
            "granularity": {"enum": ["hour", "day", "month"]},
            "currency": {"const": "USD"},
            "rows": {
                "type": "array",
                "items": _object({name: _column(name) for name in columns}, required=required),
            },
            "totals": {
                "anyOf": [
                    _object(
                        {
                            "known_amount_usd": _DECIMAL,
                            "complete": {
                                "type": "boolean",
                                "description": "All hours are closed, and every amount is known.",
                            },
                            "unpriced_lines": {"type": "integer"},
                            "uncounted_requests": {"type": "integer"},
                        }
                    ),
                    {"type": "null"},
                ],
                "description": "Of the whole query; null after its first page and for a part of all tenants",
            },
            "next_cursor": {"type": ["string", "null"]},
        }
    )


_PROBLEM: Final = _object(
    {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable."},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "param": {"type": ["string", "null"], "description": "The parameter at fault."},
        "request_id": {"type": "string", "format": "uuid"},
    }
)
_GROUPS: Final = {"group_by": {"type": "array", "items": {"enum": list(DIMENSIONS)}}}


def _problem_response(status: int) -> dict[str, Any]:
    title, code, detail, param = examples.PROBLEMS[status]
    example = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "param": param,
        "request_id": "0199f0a4-7c1e-7b6e-9d0c-0d6b5c1e2f3a",
    }
    response: dict[str, Any] = {
        "description": title,
        "content": {PROBLEM_JSON: {"schema": _PROBLEM, "example": example}},
    }
    if status == 503:  # noqa: PLR2004
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "example": 5}}
    if status == 401:  # noqa: PLR2004
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def _parameters(model: type[HoursParameters]) -> list[dict[str, Any]]:
    """The query parameters of a model, as OpenAPI lists them."""
    described = model.model_json_schema(by_alias=True)
    listed = []
    for name, schema in described["properties"].items():
        told = {
            key: value for key, value in schema.items() if key not in {"title", "description", "examples"}
        }
        if name == "group_by":  # a list in words
            told = {"type": "string"}
        parameter = {"name": name, "in": "query", "required": name in described["required"], "schema": told}
        parameter["description"] = schema["description"]
        if "examples" in schema:
            parameter["example"] = schema["examples"][0]
        listed.append(parameter)
    return listed


def _operation(
    summary: str,
    *,
    model: type[HoursParameters],
    columns: tuple[str, ...],
    schema: Mapping[str, Any],
    example: Mapping[str, Any],
    problems: tuple[int, ...],
    path: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    as_csv = csv_body(Page(columns, [Row((), row) for row in example["rows"]], None)).decode()
    headers = {
        "ETag": {"schema": {"type": "string"}, "example": '"Yl8xJ2mQ0b7bqk1n5c3y9uZt"'},
        "Link": {
            "schema": {"type": "string"},
            "description": "The next page, where there is one.",
            "example": f'<?from=2026-11-23&to=2026-11-24&cursor={examples.CURSOR}>; rel="next"',
        },
    }
    answered = {
        "description": "A page",
        "headers": headers,
        "content": {
            "application/json": {"schema": schema, "example": example},
            "text/csv": {"schema": {"type": "string"}, "example": as_csv},
        },
    }
    return {
        "summary": summary,
        "tags": ["costs"],
        "security": [{"key": []}],
        "parameters": [*path, *_parameters(model), _IF_NONE_MATCH],
        "responses": {
            "200": answered,
            "304": {"description": "Nothing changed since the answer whose ETag `If-None-Match` has"},
            **{str(status): _problem_response(status) for status in problems},
        },
    }


_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of the answer that the client has.",
}
_TENANT_ID: Final = {
    "name": "tenant_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^([a-z0-9-]{1,48}|_unused|_platform)$"},
    "description": "For a tenant's key its own; `_unused` and `_platform` are for the roles.",
    "example": "acme",
}
_COLUMNS: Final = cost_columns(DIMENSIONS)
_OPERATIONS: Final[Mapping[str, dict[str, Any]]] = {
    TENANT_COSTS: _operation(
        "Costs of a tenant",
        model=CostParameters,
        columns=_COLUMNS,
        schema=_page_schema(_COLUMNS, {"tenant_id": {"type": "string"}, **_GROUPS}, required=False),
        example=examples.TENANT_COSTS,
        problems=(400, 401, 404, 503),
        path=[_TENANT_ID],
    ),
    ALL_COSTS: _operation(
        "Costs of all tenants, of what was used by none (`_unused`) and of the platform itself (`_platform`)",
        model=CostParameters,
        columns=_COLUMNS,
        schema=_page_schema(_COLUMNS, _GROUPS, required=False),
        example=examples.ALL_COSTS,
        problems=(400, 401, 403, 503),
    ),
    HOURS: _operation(
        "How far hours, days or months are: closed is final",
        model=HoursParameters,
        columns=HOURS_COLUMNS,
        schema=_page_schema(HOURS_COLUMNS, {}, required=True),
        example=examples.HOURS,
        problems=(400, 401, 403, 503),
    ),
}


def document(app: FastAPI) -> None:
    """Make `app` describe what it really answers, as FastAPI documents that this is done.

    Operations are written here whole: FastAPI's own document has no null in its examples.
    """
    generate = app.openapi

    def openapi() -> Mapping[str, Any]:
        described = generate()
        described["paths"] |= {path: {"get": operation} for path, operation in _OPERATIONS.items()}
        described["components"] = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
        return described

    app.openapi = openapi  # type: ignore[assignment,method-assign]
