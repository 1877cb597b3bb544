"""How the console has a load balancer's public keys without a way to the internet.

Who signs in at the load balancer comes with a header that it signed; its keys are at
`public-keys.auth.elb.{region}.amazonaws.com`, which no VPC endpoint leads to. A private API asks there: one
method, one address, and of the request nothing but the key's id goes along. So the console can have a key,
and can tell nobody anything.
"""

from collections.abc import Callable

from aws_cdk import Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.layers import PREFIX
from infra.reasons import explain

_UNKNOWN = "404"


class AlbKeys(Construct):
    """`GET {url}/{kid}`: a key as PEM, 404 for one that is not there; within `vpc` alone."""

    def __init__(
        self,
        scope: Construct,
        vpc: ec2.IVpc,
        interface: Callable[[Construct, str], ec2.InterfaceVpcEndpoint],
    ) -> None:
        super().__init__(scope, "alb-keys")
        region, account = Stack.of(self).region, Stack.of(self).account
        endpoint = interface(self, "execute-api")
        api = apigateway.RestApi(
            self,
            "api",
            rest_api_name=f"{PREFIX}-alb-keys",
            description="Public keys of load balancers, for the console",
            endpoint_types=[apigateway.EndpointType.PRIVATE],
            cloud_watch_role=False,
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        principals=[iam.AnyPrincipal()],
                        actions=["execute-api:Invoke"],
                        resources=["execute-api:/keys/GET/*"],
                        conditions={"StringEquals": {"aws:SourceVpc": vpc.vpc_id}},
                    )
                ]
            ),
            deploy_options=apigateway.StageOptions(
                stage_name="keys", throttling_rate_limit=20, throttling_burst_limit=20
            ),
        )
        key = api.root.add_resource("{kid}")
        key.add_method(
            "GET",
            _asked_of(f"https://public-keys.auth.elb.{region}.amazonaws.com"),
            request_parameters={"method.request.path.kid": True},
            request_validator=api.add_request_validator(
                "kid", validate_request_body=True, validate_request_parameters=True
            ),
            method_responses=[
                apigateway.MethodResponse(status_code=status) for status in ("200", _UNKNOWN, "502")
            ],
        )
        endpoint.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=[f"arn:aws:execute-api:{region}:{account}:{api.rest_api_id}/keys/GET/*"],
            )
        )
        self.url = f"https://{api.rest_api_id}.execute-api.{region}.amazonaws.com/keys"
        explain(
            api,
            {
                "AwsSolutions-APIG1": "to ask for a public key says nothing; the console logs who signs in",
                "AwsSolutions-APIG3": "it can be reached from this network alone, and has one fixed answer",
                "AwsSolutions-APIG4": "the keys are public, and the network is who may ask",
                "AwsSolutions-APIG6": "to ask for a public key says nothing; the console logs who signs in",
                "AwsSolutions-COG4": "the keys are public, and the network is who may ask",
            },
        )


def _asked_of(url: str) -> apigateway.HttpIntegration:
    """No header, query or body goes along; what is not there is 403 or 404 at the source."""
    return apigateway.HttpIntegration(
        f"{url}/{{kid}}",
        proxy=False,
        http_method="GET",
        options=apigateway.IntegrationOptions(
            request_parameters={"integration.request.path.kid": "method.request.path.kid"},
            request_templates={"application/json": ""},
            passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
            integration_responses=[
                apigateway.IntegrationResponse(status_code="200", selection_pattern="200"),
                apigateway.IntegrationResponse(status_code=_UNKNOWN, selection_pattern="40[34]"),
                apigateway.IntegrationResponse(status_code="502"),
            ],
        ),
    )
