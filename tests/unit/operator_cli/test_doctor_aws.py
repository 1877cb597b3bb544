from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.settings import named_deployment
from llmplatform.aws.tables import CONTENT_LOGS
from operator_cli.doctor_aws.billing import budget_check, export_check, on_the_tag, tag_check
from operator_cli.doctor_aws.endpoints import endpoint_check
from operator_cli.doctor_aws.identity import account_check, clock_check
from operator_cli.doctor_aws.keys import key_checks, state_check, strangers
from operator_cli.doctor_aws.models import Availability, access_check, joined
from operator_cli.doctor_aws.quotas import LEAST_FARGATE_VCPUS, Quota, scope_of, tokens_check, vcpus_check
from operator_cli.doctor_aws.retention import group_checks
from operator_cli.doctor_aws.stacks import STACKS, absent, stacks_checks
from operator_cli.doctor_aws.tracing import destination_check

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
TOLD = "Sun, 29 Nov 2026 12:00:00 GMT"
FINE = Availability(agreement="AVAILABLE", authorized=True, entitled=True, in_region=True)
GEO = Quota("Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.6 V1", 2_000_000.0)
GLOBAL = Quota("Global cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.6", 50.0)
REQUESTS = Quota("Cross-region model inference requests per minute for Anthropic Claude Sonnet 4.6 V1", 200.0)
HAIKU = Quota("Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5", 7.0)


@pytest.mark.parametrize(
    ("off_s", "status"),
    [(0, "ok"), (-4, "ok"), (6, "warning"), (-299, "warning"), (300, "failed"), (-900, "failed")],
)
def test_a_clock_that_is_off_is_told_before_aws_refuses_signatures(off_s: int, status: str) -> None:
    check = clock_check(TOLD, NOW + timedelta(seconds=off_s))
    assert check.status == status
    assert ("behind" in check.found) == (off_s < -5)


def test_a_clock_that_nobody_told_of_is_unknown() -> None:
    assert "unknown" in clock_check(None, NOW).found


def test_a_stand_in_is_not_taken_for_an_account() -> None:
    assert account_check("1", "arn", {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}).status == "warning"
    assert account_check("1", "arn", {}).status == "ok"


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (None, "knows no such model"),
        (Availability("AVAILABLE", authorized=True, entitled=True, in_region=False), "not offered"),
        (Availability("PENDING", authorized=True, entitled=True, in_region=True), "PENDING"),
        (Availability("AVAILABLE", authorized=True, entitled=False, in_region=True), "agreement"),
        (Availability("AVAILABLE", authorized=False, entitled=True, in_region=True), "may not use"),
    ],
)
def test_a_model_that_cannot_be_called_fails_with_its_fix(found: Availability | None, word: str) -> None:
    check = access_check("sonnet", found)
    assert check.status == "failed"
    assert check.found.startswith("sonnet: ")
    assert word in check.found
    assert check.fix


def test_models_that_can_be_called_share_a_line() -> None:
    checks = joined([access_check("a", FINE), access_check("b", None), access_check("c", FINE)])
    assert [check.found for check in checks if check.status == "ok"] == ["a, c"]
    assert [check.status for check in checks] == ["failed", "ok"]


@pytest.mark.parametrize(
    ("model_id", "scope"),
    [
        ("us.anthropic.claude-sonnet-4-6", "geo"),
        ("global.anthropic.claude-sonnet-4-6", "global"),
        ("amazon.nova-lite-v1:0", "in-region"),
        ("arn:aws:bedrock:us-east-1:111111111111:application-inference-profile/abc", ""),
    ],
)
def test_which_quota_counts_follows_from_the_route(model_id: str, scope: str) -> None:
    assert scope_of(model_id) == scope


def test_tokens_a_minute_are_those_of_the_model_and_its_route() -> None:
    quotas = [GEO, GLOBAL, REQUESTS, HAIKU]
    check = tokens_check("sonnet", "geo", "Claude Sonnet 4.6", quotas, None)
    assert (check.status, "2,000,000 tokens" in check.found) == ("ok", True)
    assert "50 tokens" in tokens_check("sonnet", "global", "Claude Sonnet 4.6", quotas, None).found
    assert tokens_check("sonnet", "geo", "Claude Sonnet 4.6", quotas, 2_000_001).status == "failed"
    assert tokens_check("sonnet", "geo", "Claude Sonnet 4.6", quotas, 2_000_000).status == "ok"


def test_a_quota_of_nothing_fails_whatever_is_needed() -> None:
    assert tokens_check("h", "geo", "Claude Haiku 4.5", [Quota(HAIKU.name, 0.0)], None).status == "failed"


@pytest.mark.parametrize(
    ("scope", "model_name", "quotas"),
    [
        ("geo", "Claude Sonnet 4", [GEO]),
        ("geo", "Claude Sonnet 4.6", [GEO, GEO]),
        ("", "Claude Sonnet 4.6", [GEO]),
    ],
)
def test_a_quota_that_no_name_gives_away_is_unknown(scope: str, model_name: str, quotas: list[Quota]) -> None:
    check = tokens_check("sonnet", scope, model_name, quotas, None)
    assert check.status == "warning"
    assert "unknown" in check.found


def test_fargate_has_room_for_production_at_its_most() -> None:
    prod = named_deployment("prod")
    services = (prod.gateway, prod.evalworker, prod.billing_api, prod.console)
    most = sum(service.cpu * service.most for service in services) / 1024
    rolled_out = prod.gateway.cpu * prod.gateway.least / 1024
    assert most + rolled_out <= LEAST_FARGATE_VCPUS
    assert vcpus_check(6.0).status == "warning"
    assert vcpus_check(LEAST_FARGATE_VCPUS).status == "ok"


def test_spans_by_otlp_need_transaction_search() -> None:
    assert destination_check("XRay", "ACTIVE", 1.0).status == "failed"
    assert destination_check("CloudWatchLogs", "PENDING", 1.0).status == "warning"
    assert "10 %" in destination_check("CloudWatchLogs", "ACTIVE", 10.0).found
    assert "unknown share" in destination_check("CloudWatchLogs", "ACTIVE", None).found


def statement(principal: Any, condition: Any = None, effect: str = "Allow") -> dict[str, Any]:
    return {
        "Effect": effect,
        "Principal": principal,
        "Action": "kms:*",
        "Resource": "*",
        **({} if condition is None else {"Condition": condition}),
    }


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (statement({"AWS": "arn:aws:iam::111111111111:root"}), []),
        (
            statement({"AWS": ["111111111111", "arn:aws:iam::222222222222:root"]}),
            ["arn:aws:iam::222222222222:root"],
        ),
        (statement("*"), ["*"]),
        (statement({"AWS": "*"}), ["*"]),
        (statement("*", {"StringEquals": {"kms:CallerAccount": "111111111111"}}), []),
        (statement("*", {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}), ["*"]),
        (statement("*", effect="Deny"), []),
        (statement({"Service": "logs.us-east-1.amazonaws.com"}), []),
    ],
)
def test_who_else_a_key_lets_in_is_named(one: dict[str, Any], found: list[str]) -> None:
    assert list(strangers({"Statement": [one]}, "111111111111")) == found
    assert list(strangers({"Statement": one}, "111111111111")) == found


def test_a_key_that_grows_old_or_goes_is_told() -> None:
    (check,) = key_checks("tenant acme", account="1", rotated=False, policy={"Statement": []})
    assert (check.status, check.fix) == ("warning", "aws kms enable-key-rotation")
    assert list(key_checks("tenant acme", account="1", rotated=True, policy={"Statement": []})) == []
    assert "erased" in state_check("tenant acme", "PendingDeletion").fix
    assert "Disabled" in state_check("tenant acme", "Disabled").found


def test_an_endpoint_that_cannot_serve_is_told() -> None:
    assert endpoint_check("llama", "InService", None, [("a", 2, 2)]).status == "ok"
    assert endpoint_check("llama", "InService", None, [("a", 1, 2)]).status == "warning"
    failed = endpoint_check("llama", "Failed", "no capacity", [])
    assert (failed.status, failed.found) == ("failed", "llama is Failed: no capacity")


def test_a_log_group_that_keeps_too_long_or_without_a_key_fails() -> None:
    assert group_checks(CONTENT_LOGS, CONTENT_LOGS.retention_days, "arn") == []
    assert "for ever" in group_checks(CONTENT_LOGS, None, "arn")[0].found
    assert "no key" in group_checks(CONTENT_LOGS, CONTENT_LOGS.retention_days, None)[0].found


def test_the_bill_must_be_able_to_tell_what_observing_costs() -> None:
    assert tag_check("Active").status == "ok"
    assert tag_check("Inactive").status == "failed"
    assert tag_check(None).status == "warning"
    assert budget_check([]).status == "failed"
    assert budget_check([("watching", 0)]).status == "failed"
    assert budget_check([("watching", 2)]).status == "ok"
    assert on_the_tag({"CostFilters": {"TagKeyValue": ["user:observability-layer$evaluate"]}})
    assert on_the_tag({"FilterExpression": {"Tags": {"Key": "observability-layer"}}})
    assert not on_the_tag({"BudgetName": "observability-layer"})
    assert export_check([("other", "HEALTHY")]).status == "warning"
    assert export_check([("llm-platform-bill", "UNHEALTHY")]).status == "failed"
    assert export_check([("llm-platform-bill", "HEALTHY")]).status == "ok"


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        ("ROLLBACK_COMPLETE", "failed", "delete it"),
        ("CREATE_FAILED", "failed", "--no-rollback"),
        ("UPDATE_ROLLBACK_FAILED", "failed", "continue-update-rollback --stack-name llm-platform-cost"),
        ("UPDATE_ROLLBACK_COMPLETE", "warning", "deploy it again"),
        ("UPDATE_IN_PROGRESS", "warning", "wait"),
    ],
)
def test_a_stack_in_no_good_state_is_told_with_its_way_out(state: str, status: str, word: str) -> None:
    found = dict.fromkeys(STACKS, "UPDATE_COMPLETE") | {"cost": state}
    (check,) = stacks_checks(found)
    assert (check.status, check.found) == (status, f"llm-platform-cost is {state}")
    assert word in check.fix


@pytest.mark.parametrize(
    "state", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_that_was_never_whole_is_not_there(state: str) -> None:
    assert absent(dict.fromkeys(STACKS, "CREATE_COMPLETE") | {"watch": state}) == {"watch"}


def test_a_change_set_that_nobody_executed_is_no_stack() -> None:
    (check,) = stacks_checks(dict.fromkeys(STACKS, "CREATE_COMPLETE") | {"watch": "REVIEW_IN_PROGRESS"})
    assert (check.status, check.found) == ("warning", "not deployed: watch")


def test_a_stack_that_fell_back_is_there() -> None:
    assert absent(dict.fromkeys(STACKS, "UPDATE_ROLLBACK_COMPLETE")) == frozenset()
    assert absent({}) == frozenset(STACKS)
    assert [check.status for check in stacks_checks(dict.fromkeys(STACKS, "CREATE_COMPLETE"))] == ["ok"]
