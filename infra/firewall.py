"""The firewall before the load balancer.

No rule looks into the body of an inference request: a firewall sees the first 8 KB of a body there, calls
half of what programmers ask a model an attack, and writes what it found into its log. So for `/v1/` the rules
are about who is asking and how often; for all else (console, documentation) AWS's common rules hold. What a
tenant may ask at once is its policy's to say, and the gateway holds it to that: the firewall knows no keys,
since it would log them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.layers import PREFIX
from infra.removal import removal_policy
from infra.settings import Deployment
from llmplatform.aws.tables import LOG_RETENTION_DAYS

INFERENCE_PATH: Final = "/v1/"
REDACTED_HEADERS: Final = ("authorization", "cookie", "x-amzn-oidc-data", "x-amzn-oidc-accesstoken")
WINDOW_S: Final = 60
TOO_MANY: Final = "too-many"
_TOO_MANY_BODY: Final = (
    '{"error":{"message":"too many requests from this address","type":"rate_limit_error",'
    '"param":null,"code":"address_rate_limited"}}'
)
"""As the gateway's own errors are."""

Json = dict[str, Any]


class Firewall(Construct):
    """Web ACL, its log, and its place before `load_balancer`."""

    def __init__(
        self, scope: Construct, load_balancer: elb.ApplicationLoadBalancer, deployment: Deployment
    ) -> None:
        super().__init__(scope, "firewall")
        acl = waf.CfnWebACL(
            self,
            "acl",
            name=PREFIX,
            scope="REGIONAL",
            default_action={"allow": {}},
            visibility_config=_seen_as("all"),
            rules=list(_rules(deployment)),
            custom_response_bodies={TOO_MANY: {"contentType": "APPLICATION_JSON", "content": _TOO_MANY_BODY}},
        )
        waf.CfnWebACLAssociation(
            self, "before", web_acl_arn=acl.attr_arn, resource_arn=load_balancer.load_balancer_arn
        )
        group = logs.LogGroup(
            self,
            "log",
            log_group_name=f"aws-waf-logs-{PREFIX}",  # any other name WAF refuses
            removal_policy=removal_policy(deployment),
        )
        group.node.default_child.add_property_override("RetentionInDays", LOG_RETENTION_DAYS)
        waf.CfnLoggingConfiguration(
            self,
            "logging",
            resource_arn=acl.attr_arn,
            # WAF wants the group's ARN without the `:*` that CloudFormation gives.
            log_destination_configs=[
                f"arn:aws:logs:{deployment.region}:{deployment.account}:log-group:{group.log_group_name}"
            ],
            redacted_fields=[{"singleHeader": {"Name": name}} for name in REDACTED_HEADERS],
            logging_filter={
                "DefaultBehavior": "DROP",
                "Filters": [
                    {
                        "Behavior": "KEEP",
                        "Requirement": "MEETS_ANY",
                        "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                    }
                ],
            },
        )


def _rules(deployment: Deployment) -> Iterator[Json]:
    yield {
        "name": "address-rate",
        "priority": 1,
        "action": {
            "block": {
                "customResponse": {
                    "responseCode": 429,
                    "customResponseBodyKey": TOO_MANY,
                    "responseHeaders": [{"name": "retry-after", "value": str(WINDOW_S)}],
                }
            }
        },
        "statement": {
            "rateBasedStatement": {
                "aggregateKeyType": "IP",
                "limit": deployment.firewall.per_address_per_minute,
                "evaluationWindowSec": WINDOW_S,
            }
        },
        "visibilityConfig": _seen_as("address-rate"),
    }
    yield _managed(2, "AWSManagedRulesAmazonIpReputationList")
    yield _managed(3, "AWSManagedRulesKnownBadInputsRuleSet", scopeDownStatement=_not_inference())
    yield _managed(
        4,
        "AWSManagedRulesCommonRuleSet",
        scopeDownStatement=_not_inference(),
        # Who signs in comes back with a long query, and then with up to 16 KB of the load balancer's cookies.
        ruleActionOverrides=[
            {"name": name, "actionToUse": {"count": {}}}
            for name in ("SizeRestrictions_QUERYSTRING", "SizeRestrictions_Cookie_HEADER")
        ],
    )


def _managed(priority: int, name: str, **more: object) -> Json:
    return {
        "name": name,
        "priority": priority,
        "overrideAction": {"none": {}},
        "statement": {"managedRuleGroupStatement": {"vendorName": "AWS", "name": name, **more}},
        "visibilityConfig": _seen_as(name),
    }


def _not_inference() -> Json:
    return {
        "notStatement": {
            "statement": {
                "byteMatchStatement": {
                    "searchString": INFERENCE_PATH,
                    "positionalConstraint": "STARTS_WITH",
                    "fieldToMatch": {"uriPath": {}},
                    "textTransformations": [{"priority": 0, "type": "NONE"}],
                }
            }
        }
    }


def _seen_as(name: str) -> Mapping[str, object]:
    """Counted, and without samples: those would show headers and paths for hours."""
    return {
        "cloudWatchMetricsEnabled": True,
        "metricName": f"{PREFIX}-{name}",
        "sampledRequestsEnabled": False,
    }
