"""The only room that knows real clients: puts the console together."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from starlette.types import ASGIApp

from llmplatform.aws.access import AccessSource
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sessions import aws_session
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import SystemClock
from llmplatform.prices import load_prices
from watch.console.app import create_app
from watch.console.oidc import OidcRules
from watch.console.oidc_keys import AlbKeys
from watch.console.parts import ConsoleParts
from watch.console.sessions import SessionSeal
from watch.limits import Limits
from watch.reading.alarms import AlarmReader
from watch.reading.aws_calls import count_calls_of
from watch.reading.metrics import MetricReader
from watch.reading.standing import StandingReader
from watch.settings import EnvironmentSettings, WatchSettings

_KEYS_WITHIN_S = 3.0
_KEY_BYTES = 32


@asynccontextmanager
async def console(
    settings: WatchSettings, environment: EnvironmentSettings, limits: Limits
) -> AsyncIterator[ASGIApp]:
    """The console's application, whose tenants and roles are kept fresh while the block runs."""
    clock = SystemClock()
    session = aws_session(environment.aws_region)
    count_calls_of(session)
    async with AsyncExitStack() as stack:
        policies = await stack.enter_async_context(
            ParameterPolicySource(lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s)
        )
        access = await stack.enter_async_context(
            AccessSource(lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s)
        )
        cloudwatch = await stack.enter_async_context(session.client("cloudwatch"))
        sns = await stack.enter_async_context(session.client("sns"))
        dynamodb = await stack.enter_async_context(session.client("dynamodb"))
        metrics = await stack.enter_async_context(MetricReader(cloudwatch, clock))
        alb_keys = None
        if settings.keys_url is not None:
            http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_KEYS_WITHIN_S))
            )
            alb_keys = AlbKeys(http, settings.keys_url, clock)
        yield create_app(
            ConsoleParts(
                clock=clock,
                policies=policies,
                access=access,
                catalogue=load_catalogue(environment.llm_platform_catalogue),
                prices=load_prices(environment.llm_platform_prices),
                seal=SessionSeal(_session_key(settings)),
                settings=settings,
                metrics=metrics,
                standing=StandingReader(dynamodb, clock),
                limits=limits,
                alarms=AlarmReader(cloudwatch, sns, clock),
                oidc=_oidc_rules(settings),
                alb_keys=alb_keys,
            )
        )


def _session_key(settings: WatchSettings) -> bytes:
    if settings.session_key is None:
        return os.urandom(_KEY_BYTES)
    return settings.session_key.get_secret_value().encode()


def _oidc_rules(settings: WatchSettings) -> OidcRules | None:
    if settings.alb_arn is None or settings.oidc_issuer is None:
        return None
    return OidcRules(
        signer=settings.alb_arn,
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        name_claim=settings.oidc_name_claim,
        group_claim=settings.oidc_group_claim,
        operator_group=settings.oidc_operator_group,
        billing_group=settings.oidc_billing_group,
        tenant_group_prefix=settings.oidc_tenant_group_prefix,
    )
