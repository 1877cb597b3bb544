"""An error of the SDK is known by AWS's name for it, and anything else by none."""

from botocore.exceptions import ClientError, EndpointConnectionError

from llmplatform.aws.refusals import error_code


def test_a_refusal_has_the_name_that_aws_gave_it() -> None:
    refused = ClientError({"Error": {"Code": "NoSuchKey", "Message": "gone"}}, "GetObject")
    assert error_code(refused) == "NoSuchKey"


def test_what_is_no_refusal_or_has_no_name_has_none() -> None:
    assert error_code(ClientError({}, "GetObject")) == ""
    assert error_code(EndpointConnectionError(endpoint_url="http://127.0.0.1:9")) == ""
    assert error_code(None) == ""
