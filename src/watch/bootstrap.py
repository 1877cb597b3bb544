"""The only room that knows real clients: puts the console together."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING

import aioboto3
import aiohttp
from starlette.types import ASGIApp

from llmplatform.aws.access import AccessSource
from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.eval_content import ContentReader
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sessions import CredentialSource, aws_session, endpoint_url
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_HISTORY
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import Clock, SystemClock
from llmplatform.prices import load_prices
from watch.console.app import create_app
from watch.console.links import Links
from watch.console.oidc import OidcRules
from watch.console.oidc_keys import AlbKeys
from watch.console.parts import ConsoleParts
from watch.console.sessions import SessionSeal
from watch.limits import Limits
from watch.reading.alarms import AlarmReader
from watch.reading.aws_calls import CountedHttp, count_calls_of
from watch.reading.calibrations import CalibrationReader
from watch.reading.costs import Costs
from watch.reading.evaluating import EvaluatingReader
from watch.reading.evaluations import EvaluationReaders
from watch.reading.lives import LifeReaders
from watch.reading.log_lines import LogLineReader
from watch.reading.metrics import MetricReader
from watch.reading.minutes import MinuteReader
from watch.reading.requests import QUERIES_AT_ONCE, RequestSearch
from watch.reading.scores import ScoreReader
from watch.reading.standing import StandingReader
from watch.reading.traces import TraceReader
from watch.settings import EnvironmentSettings, WatchSettings

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

_KEYS_WITHIN_S = 3.0
_LEDGER_WITHIN_S = 2.0
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
        lean = await _lean_dynamodb(stack, session, clock)
        s3 = await stack.enter_async_context(session.client("s3"))
        history = partial(_history_bucket, session, settings)
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
                lives=await _lives(
                    stack,
                    session,
                    dynamodb=dynamodb,
                    lean=DynamoDb(lean),
                    calibrations=CalibrationReader(s3, history, clock),
                    clock=clock,
                ),
                evaluations=EvaluationReaders(
                    minutes=MinuteReader(DynamoDb(lean)),
                    evaluating=EvaluatingReader(dynamodb, s3, history, clock),
                ),
                costs=Costs(CostReader(DynamoDb(lean)), clock),
                links=Links(
                    region=environment.aws_region,
                    on_aws=environment.aws_endpoint_url is None,
                    grafana_url=settings.grafana_url,
                ),
                alarms=AlarmReader(cloudwatch, sns, clock),
                oidc=_oidc_rules(settings),
                alb_keys=alb_keys,
            )
        )


async def _lean_dynamodb(stack: AsyncExitStack, session: aioboto3.Session, clock: Clock) -> SignedHttp:
    """A client without an SDK, for whoever reads many rows at once."""
    region = session.region_name or ""
    credentials = await stack.enter_async_context(await CredentialSource.of(session))
    return await stack.enter_async_context(
        CountedHttp(
            service="dynamodb",
            url=endpoint_url("dynamodb", region, os.environ),
            region=region,
            credentials=credentials.current,
            clock=clock,
            connections=QUERIES_AT_ONCE,
            timeout_s=_LEDGER_WITHIN_S,
        )
    )


async def _lives(
    stack: AsyncExitStack,
    session: aioboto3.Session,
    *,
    dynamodb: "DynamoDBClient",
    lean: DynamoDb,
    calibrations: CalibrationReader,
    clock: Clock,
) -> LifeReaders:
    """What a request's whole life is read with, open until the stack is closed."""
    region = session.region_name or ""
    content = stack.enter_context(closing(ContentReader(partial(ContentKeys, region=region))))
    return LifeReaders(
        search=RequestSearch(lean, clock),
        ledger=LedgerReader(dynamodb),
        traces=TraceReader(await stack.enter_async_context(session.client("xray")), clock),
        scores=ScoreReader(EvalReader(dynamodb, clock)),
        calibrations=calibrations,
        log_lines=LogLineReader(await stack.enter_async_context(session.client("logs"))),
        content=content,
    )


async def _history_bucket(session: aioboto3.Session, settings: WatchSettings) -> str:
    return settings.history_bucket or await bucket_name(session, EVAL_HISTORY)


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
