"""What can go wrong, as a tree; none of it knows HTTP.

    PlatformFault
    ├── ClientFault              the request cannot be served as it stands
    │   ├── MalformedRequest         a field is wrong; `param` is its path
    │   ├── UnsupportedParameter     the chosen model cannot honour `param`
    │   ├── RequestTooLarge
    │   ├── RequestTooSlow           the body did not arrive in time
    │   ├── Unauthenticated          no key, an unknown key, a revoked key
    │   ├── Forbidden                the key is good, the wish is not
    │   ├── UnknownModel
    │   └── TenantOverloaded         over the tenant's own limit
    ├── InternalFault            a bug of ours
    ├── GatewayOverloaded        over the gateway's limit, or draining
    ├── BackendFault             the model's side failed
    │   ├── BackendThrottled
    │   ├── BackendTimedOut          `phase` says which of the timeouts
    │   ├── BackendUnreachable       no connection, or it broke before the reply began
    │   ├── BackendUnavailable       not ready, overloaded, circuit open
    │   ├── BackendRejected          it refused the request: invalid, denied, unknown model
    │   ├── BackendModelFailed       the model itself failed
    │   ├── BackendInternal
    │   └── BackendProtocolCorrupt   bytes that make no sense, or a reply that ended early
    ├── ConfigFault              stops start-up
    └── TelemetryFault           counted, never reaches a client

`str(fault)` is written by us and holds no prompt and nothing that a backend said. What the backend said
is in `BackendFault.detail`: it may quote the prompt, so it goes to the client that sent that prompt and
into no log, span or metric.
"""

from typing import ClassVar, Literal

TimeoutPhase = Literal["connect", "first_token", "idle", "total"]


class PlatformFault(Exception):
    """The root of everything the platform raises on purpose."""

    code: ClassVar[str] = "platform_fault"
    """Stable, machine-readable; part of the public interface."""


class ClientFault(PlatformFault):
    """The request cannot be served as it stands.

    `param` is the path of the field at fault (`messages[2].content`), when there is one.
    """

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.specific_code = code or self.code


class MalformedRequest(ClientFault):
    """A field is missing, of the wrong type or out of range."""


class UnsupportedParameter(ClientFault):
    """The field is well formed and the chosen model cannot honour it."""

    code = "unsupported_parameter"


class RequestTooLarge(ClientFault):
    """The body is over the limit."""

    code = "request_too_large"


class RequestTooSlow(ClientFault):
    """The body did not arrive in time."""

    code = "request_timeout"


class Unauthenticated(ClientFault):
    """No key, an unknown key or a revoked key; which of them is not told."""

    code = "invalid_api_key"


class Forbidden(ClientFault):
    """The key is good, the wish is not: another tenant."""

    code = "forbidden"


class UnknownModel(ClientFault):
    """The catalogue has no such model, or the policy does not allow it; which of them is not told."""

    code = "model_not_found"

    def __init__(self) -> None:
        super().__init__(
            "the model does not exist, or this tenant may not use it; GET /v1/models lists those that it may",
            param="model",
        )


class TenantOverloaded(ClientFault):
    """The tenant has reached a limit of its own."""

    code = "tenant_concurrency_exceeded"

    def __init__(self, message: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class InternalFault(PlatformFault):
    """A bug of ours; the message is the name of the exception's class."""

    code = "internal_error"


class GatewayOverloaded(PlatformFault):
    """The gateway is full or is shutting down; another task may answer."""

    code = "gateway_overloaded"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BackendFault(PlatformFault):
    """The model's side failed.

    `detail` is the backend's own wording, for the client alone. `error_type` is the vendor's name of the
    error (`throttlingException`), `status` the HTTP status that it stands for. `retryable` says that the
    same call may succeed if repeated; `counts_against_health` that the backend, not the request, is ill.
    """

    code = "backend_error"
    retryable: ClassVar[bool] = False
    counts_against_health: ClassVar[bool] = True

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        error_type: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.detail = detail
        self.error_type = error_type
        self.status = status


class BackendThrottled(BackendFault):
    """The backend asks for fewer requests."""

    code = "backend_throttled"
    retryable = True
    counts_against_health = False


class BackendTimedOut(BackendFault):
    """One of the four timeouts passed."""

    code = "backend_timeout"

    def __init__(self, message: str, *, phase: TimeoutPhase) -> None:
        super().__init__(message, error_type=f"timeout_{phase}")
        self.phase: TimeoutPhase = phase


class BackendUnreachable(BackendFault):
    """No connection, or the connection broke before the reply began."""

    code = "backend_unreachable"
    retryable = True


class BackendUnavailable(BackendFault):
    """Not ready, overloaded, or its circuit is open."""

    code = "backend_unavailable"
    retryable = True


class BackendRejected(BackendFault):
    """The backend refused the request itself: invalid, denied or an unknown model id."""

    code = "backend_rejected_request"
    counts_against_health = False


class BackendModelFailed(BackendFault):
    """The model, not the service around it, failed."""

    code = "backend_model_error"
    retryable = True


class BackendInternal(BackendFault):
    """The service failed and gives no better reason."""

    code = "backend_internal_error"
    retryable = True


class BackendProtocolCorrupt(BackendFault):
    """Bytes that make no sense, or a reply that ended before it was complete."""

    code = "backend_stream_corrupt"
    retryable = True


class ConfigFault(PlatformFault):
    """A setting, catalogue or policy that stops start-up; the message names the field and the fix."""

    code = "configuration"


class TelemetryFault(PlatformFault):
    """Something went wrong in observing a request; counted, never shown to a client."""

    code = "telemetry"
