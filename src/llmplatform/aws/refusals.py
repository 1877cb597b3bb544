"""What AWS calls its refusals, as the SDK tells of them. The wire's own are read by `gateway.wire`."""

from botocore.exceptions import ClientError


def error_code(error: BaseException | None) -> str:
    """AWS's short name of a refusal, such as `NoSuchKey`; empty for what is no refusal, or has no name."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
