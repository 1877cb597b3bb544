"""The FastAPI application: the ordinary routes, and the documentation of all of them.

The inference routes are documented here and answered before they get here, by `observe`: a FastAPI route
with a body model costs six times what the lean path does (docs/decisions/0003-lean-request-path.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gateway.http.authenticate import authenticate, check_claim
from gateway.http.faults import error_response
from gateway.http.openapi import document
from llmplatform.aws.parameters import PolicySource
from llmplatform.catalogue import Catalogue
from llmplatform.errors import ClientFault, InternalFault, MalformedRequest, PlatformFault, UnknownModel
from llmplatform.policy import TenantPolicy

_DESCRIPTION = """
The single way in to the models on Amazon Bedrock and Amazon SageMaker AI, for any OpenAI client.

Send `Authorization: Bearer <key>`. Every answer, errors included, carries `x-trace-id` (adopted from your
`traceparent` or `x-trace-id`, else minted) and `x-request-id`.
"""


class Model(BaseModel):
    """One model, in OpenAI's words."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str
    """`bedrock` or `sagemaker`."""


class ModelList(BaseModel):
    """The models that the caller may use."""

    object: str = "list"
    data: list[Model]


class Readiness(BaseModel):
    """Whether this task should get traffic, and if not, why."""

    ready: bool
    waiting_for: list[str]


@dataclass(frozen=True, slots=True)
class AppParts:
    """What the ordinary routes need."""

    catalogue: Catalogue
    policies: PolicySource
    not_ready: Callable[[], list[str]]
    """Names what is missing before this task can serve; empty when it is ready."""


def build_app(parts: AppParts) -> FastAPI:
    """The application; what it needs is started and stopped by who built it."""
    app = FastAPIOffline(
        title="LLM platform gateway",
        version=version("llm-platform"),
        description=_DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
    )
    _add_routes(app, parts)
    _add_errors(app)
    document(app)
    return app


def _add_routes(app: FastAPI, parts: AppParts) -> None:
    async def tenant(request: Request) -> TenantPolicy:
        headers = request.scope["headers"]
        policy = await authenticate(headers, parts.policies)
        check_claim(headers, policy)
        return policy

    @app.get("/v1/models", summary="The models that this key may use", tags=["models"])
    async def models(policy: Annotated[TenantPolicy, Depends(tenant)]) -> ModelList:
        return ModelList(
            data=[
                Model(id=name, owned_by=model.endpoint_type)
                for name, model in parts.catalogue.models.items()
                if policy.allows_model(name)
            ]
        )

    @app.get("/v1/models/{model_id:path}", summary="One model", tags=["models"])
    async def model(model_id: str, policy: Annotated[TenantPolicy, Depends(tenant)]) -> Model:
        entry = parts.catalogue.models.get(model_id)
        if entry is None or not policy.allows_model(model_id):
            raise UnknownModel
        return Model(id=entry.model_id, owned_by=entry.endpoint_type)

    @app.get("/healthz", summary="Whether the process is alive", tags=["health"])
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether this task should get traffic", tags=["health"])
    async def readyz(response: Response) -> Readiness:
        waiting_for = parts.not_ready()
        response.status_code = 503 if waiting_for else 200
        return Readiness(ready=not waiting_for, waiting_for=waiting_for)


def _add_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape, with the trace id."""

    def answer(request: Request, fault: PlatformFault, status: int | None = None) -> Response:
        fault_status, headers, body = error_response(fault, request.scope["state"]["trace_id"])
        named = {name.decode(): value.decode() for name, value in headers}
        return Response(body, status or fault_status, named, "application/json")

    @app.exception_handler(PlatformFault)
    async def platform_fault(request: Request, fault: PlatformFault) -> Response:
        return answer(request, fault)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return answer(request, InternalFault(type(error).__name__))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        path = ".".join(str(step) for step in first["loc"][1:])
        return answer(request, MalformedRequest(f"{path}: {first['msg']}", param=path))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        codes = {404: "route_not_found", 405: "method_not_allowed"}
        fault = ClientFault(error.detail, code=codes.get(error.status_code, "invalid_request"))
        return answer(request, fault, error.status_code)
