"""The platform's own alarms, who hears of them, and what Grafana may read."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from infra.app import Platform
from infra.console import limits_of
from infra.settings import FOLDER, read_deployment
from llmplatform.aws.tables import CONTENT_LOGS, CRITICAL_ALARMS, WARNING_ALARMS
from llmplatform.errors import ConfigFault
from watch.grafana.athena import CONTENT
from watch.limits import Limits
from watch.settings import read_limits, read_settings

Of = Callable[[Stack], Template]
KINDS = {"metric": "AWS::CloudWatch::Alarm", "composite": "AWS::CloudWatch::CompositeAlarm"}


def found(template: Template, kind: str, properties: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    props = {} if properties is None else {"Properties": properties}
    return list(template.find_resources(kind, props or None).values())


def test_a_composite_is_made_after_the_alarms_that_it_names(prod: Platform, template: Of) -> None:
    resources = template(prod.watch).to_json()["Resources"]
    composites = [one for one in resources.values() if one["Type"] == KINDS["composite"]]
    assert composites
    for composite in composites:
        before = [resources[name]["Properties"]["AlarmName"] for name in composite["DependsOn"]]
        assert any(f'"{name}"' in composite["Properties"]["AlarmRule"] for name in before)
        assert composite["Properties"]["ActionsSuppressor"] in before


def subscribed(stack: Stack, template: Of, topic: str) -> Iterator[str]:
    for one in found(template(stack), "AWS::SNS::Subscription"):
        if topic.replace("-", "") in str(one["Properties"]["TopicArn"]).replace("-", ""):
            yield one["Properties"]["Protocol"]


def test_what_is_critical_goes_to_pagerduty_and_nothing_else_does(prod: Platform, template: Of) -> None:
    assert list(subscribed(prod.watch, template, CRITICAL_ALARMS.name)) == ["https"]
    assert list(subscribed(prod.watch, template, WARNING_ALARMS.name)) == []


def test_slack_hears_of_both_and_may_only_look_at_alarms(prod: Platform, template: Of) -> None:
    (channel,) = found(template(prod.watch), "AWS::Chatbot::SlackChannelConfiguration")
    assert len(channel["Properties"]["SnsTopicArns"]) == 2
    (guard,) = found(
        template(prod.watch), "AWS::IAM::ManagedPolicy", {"ManagedPolicyName": "llm-platform-slack"}
    )
    (statement,) = guard["Properties"]["PolicyDocument"]["Statement"]
    assert all(action.split(":")[1].startswith(("Describe", "Get", "List")) for action in statement["Action"])
    assert channel["Properties"]["GuardrailPolicies"]


def test_nobody_is_told_whom_the_deployment_does_not_name(dev: Platform, template: Of) -> None:
    assert found(template(dev.watch), "AWS::SNS::Subscription") == []
    assert found(template(dev.watch), "AWS::Chatbot::SlackChannelConfiguration") == []


def test_grafana_has_metrics_traces_and_scores(prod: Platform, template: Of) -> None:
    template(prod.watch).has_resource_properties(
        "AWS::Grafana::Workspace",
        {
            "DataSources": ["CLOUDWATCH", "XRAY", "ATHENA"],
            "AccountAccessType": "CURRENT_ACCOUNT",
            "PermissionType": "CUSTOMER_MANAGED",
            "AuthenticationProviders": ["AWS_SSO"],
        },
    )


def test_who_has_no_identity_center_does_without_grafana_and_what_is_there_for_it(
    dev: Platform, template: Of
) -> None:
    made = template(dev.watch).to_json()
    services = {one["Type"].split("::")[1] for one in made["Resources"].values()}
    assert not services & {"Grafana", "Glue", "Athena", "S3"}
    assert "GrafanaUrl" not in made["Outputs"]
    assert "WATCH_GRAFANA_URL" not in environment_of(dev.watch, template, "llm-platform-console")


@pytest.fixture
def grafana_may(prod: Platform, template: Of) -> list[dict[str, Any]]:
    policies = [
        policy
        for policy in found(template(prod.watch), "AWS::IAM::Policy")
        if "grafanarole" in str(policy["Properties"]["Roles"])
    ]
    return [one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]]


def actions(statement: Mapping[str, Any]) -> list[str]:
    given = statement["Action"]
    return given if isinstance(given, list) else [given]


def test_grafana_reads_no_content_no_ledger_and_no_parameter(grafana_may: list[dict[str, Any]]) -> None:
    services = {action.split(":")[0] for statement in grafana_may for action in actions(statement)}
    assert services == {"cloudwatch", "ec2", "logs", "tag", "xray", "athena", "glue", "s3", "kms"}
    queries = [one for one in grafana_may if "logs:StartQuery" in actions(one)]
    assert len(queries) == 1
    assert CONTENT_LOGS.name not in str(queries[0]["Resource"])
    assert queries[0]["Resource"] != "*"


def test_grafana_writes_answers_to_its_own_queries_and_nothing_else(
    grafana_may: list[dict[str, Any]],
) -> None:
    changing = ("Put", "Create", "Delete", "Update", "Set")
    writes = {
        (action, str(statement["Resource"]))
        for statement in grafana_may
        for action in actions(statement)
        if action.split(":")[1].startswith(changing)
    }
    assert writes == {("s3:PutObject", "arn:aws:s3:::llm-platform-athena-111111111111-us-east-1/*")}


def test_athena_finds_no_column_with_what_was_said(prod: Platform, template: Of) -> None:
    (table,) = found(template(prod.watch), "AWS::Glue::Table")
    columns = {one["Name"] for one in table["Properties"]["TableInput"]["StorageDescriptor"]["Columns"]}
    assert {"tenant_id", "trace_id", "judge_identity"} <= columns
    assert not columns & CONTENT


def test_a_query_of_athena_is_bounded_and_its_answer_is_encrypted_and_goes(
    prod: Platform, template: Of
) -> None:
    template(prod.watch).has_resource_properties(
        "AWS::Athena::WorkGroup",
        {
            "WorkGroupConfiguration": {
                "EnforceWorkGroupConfiguration": True,
                "BytesScannedCutoffPerQuery": 10 * 2**30,
                "ResultConfiguration": {"EncryptionConfiguration": {"EncryptionOption": "SSE_KMS"}},
            }
        },
    )
    template(prod.watch).has_resource_properties(
        "AWS::S3::Bucket",
        {
            "BucketName": "llm-platform-athena-111111111111-us-east-1",
            "LifecycleConfiguration": {
                "Rules": [Match.object_like({"ExpirationInDays": 7, "Status": "Enabled"})]
            },
        },
    )


def environment_of(stack: Stack, template: Of, family: str) -> dict[str, Any]:
    (task,) = found(template(stack), "AWS::ECS::TaskDefinition", {"Family": family})
    container = task["Properties"]["ContainerDefinitions"][0]
    plain = {one["Name"]: one["Value"] for one in container["Environment"]}
    return plain | {one["Name"]: "x" * 64 for one in container.get("Secrets", [])}


@pytest.mark.parametrize("family", ["llm-platform-console", "llm-platform-alarms"])
@pytest.mark.parametrize("name", ["dev", "prod"])
def test_what_watches_starts_with_its_environment(
    family: str, name: str, request: pytest.FixtureRequest, template: Of, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: Platform = request.getfixturevalue(name)
    known_on_aws = {
        "WATCH_ALB_ARN": "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/x/1",
        "WATCH_ALB_KEYS_URL": "https://abc.execute-api.us-east-1.amazonaws.com/keys",
        "WATCH_GRAFANA_URL": "https://g-1.grafana-workspace.us-east-1.amazonaws.com",
    }
    for variable, value in environment_of(deployed.watch, template, family).items():
        monkeypatch.setenv(variable, known_on_aws.get(variable, value))
    settings, _ = read_settings()
    read_limits()
    assert settings.secure
    if family == "llm-platform-console":
        assert settings.session_key is not None
        assert (settings.alb_arn is None) == (name == "dev")


def test_the_consoles_own_thresholds_are_those_of_the_alarms(tmp_path: Path) -> None:
    text = (FOLDER / "dev.toml").read_text() + "\n[alarms]\ngpu_percent = 95\n"
    (tmp_path / "own.toml").write_text(text)
    own = read_deployment(tmp_path / "own.toml")
    assert limits_of(own) == {"ALARM_GPU_PERCENT": "95"}
    assert own.alarm_limits.gpu_percent == 95
    assert own.alarm_limits.disk_percent == Limits.model_construct().disk_percent
    (tmp_path / "own.toml").write_text(text.replace("gpu_percent", "gpu_per_cent"))
    with pytest.raises(ConfigFault, match="alarms"):
        read_deployment(tmp_path / "own.toml")


def test_people_sign_in_at_the_identity_provider_before_the_console_is_asked(
    prod: Platform, dev: Platform, template: Of
) -> None:
    rule = {"Conditions": [Match.object_like({"HostHeaderConfig": {"Values": ["llm-watch.example.com"]}})]}
    template(prod.watch).has_resource_properties(
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        rule
        | {
            "Actions": [
                Match.object_like(
                    {
                        "Type": "authenticate-oidc",
                        "AuthenticateOidcConfig": {"Issuer": "https://idp.example.com"},
                    }
                ),
                Match.object_like({"Type": "forward"}),
            ]
        },
    )
    (without,) = found(template(dev.watch), "AWS::ElasticLoadBalancingV2::ListenerRule")
    assert [action["Type"] for action in without["Properties"]["Actions"]] == ["forward"]


def test_the_clients_secret_is_in_no_template(prod: Platform, template: Of) -> None:
    (rule,) = found(template(prod.watch), "AWS::ElasticLoadBalancingV2::ListenerRule")
    oidc = rule["Properties"]["Actions"][0]["AuthenticateOidcConfig"]
    assert str(oidc["ClientSecret"]).startswith("{{resolve:secretsmanager:")
