"""The judges that `evals calibrate` holds against people: one that is asked now, or one that was."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from evalworker.bootstrap import assembled
from evalworker.calibration.judgements import NoScore, Scores
from evalworker.calibration.judging import Judge
from evalworker.calibration.labels import LabelFile, LabelledItem
from evalworker.judging.bedrock import BedrockJudge
from evalworker.judging.judge import Candidate, Malformed, Refused, Scored, Unavailable
from evalworker.settings import EnvironmentSettings, EvalSettings
from evalworker.stores.calibrations import Calibrations
from llmplatform import ids
from llmplatform.aws.sessions import aws_session
from llmplatform.evaluations import EvalContent
from operator_cli.evals_account import Account, open_account, open_history
from operator_cli.evals_replay import present_judge

PLATFORM = "_platform"
"""Who pays for a calibration: none of the tenants."""


class AskedNow:
    """A model on Bedrock, asked about the content of the file."""

    def __init__(self, judge: BedrockJudge) -> None:
        self._judge = judge

    @property
    def identity(self) -> str:
        """The judge's identity."""
        return self._judge.judge.identity

    async def scores(self, item: LabelledItem) -> Scores:
        """What it says now."""
        content = EvalContent(
            prompt=item.prompt or "",
            completion=item.completion or "",
            reference=item.reference,
            contexts=item.contexts,
        )
        trace_id = ids.uuid4_hex(secrets.token_bytes(16))
        match await self._judge.verdict(Candidate(PLATFORM, item.item_id, trace_id, content)):
            case Scored(verdict):
                return verdict.scores
            case Malformed():
                return NoScore.MALFORMED
            case Refused() | Unavailable():
                return NoScore.UNAVAILABLE


class AskedBefore:
    """The stored scores of one judge, found by request id. Costs nothing."""

    def __init__(self, account: Account, identity: str) -> None:
        self._account = account
        self.identity = identity

    async def scores(self, item: LabelledItem) -> Scores:
        """What it said."""
        row = None if item.request_id is None else await self._account.ledger_row(item.request_id)
        if row is None:
            return NoScore.NOT_STORED
        for result in await self._account.of_trace(row.trace_id):
            if (result.request_id, result.judge.identity) == (row.request_id, self.identity):
                return result.scores
        return NoScore.NOT_STORED


class Judges:
    """Opens the judge for a file of labels, and keeps what a calibration found."""

    def __init__(
        self, settings: EvalSettings, environment: EnvironmentSettings, judge_identity: str | None
    ) -> None:
        """With a `judge_identity`, stored scores of that judge are looked up, content or not."""
        self._settings = settings
        self._environment = environment
        self._judge_identity = judge_identity

    @asynccontextmanager
    async def open(self, labels: LabelFile) -> AsyncIterator[Judge]:
        """The judge for this file. Raises ConfigFault."""
        if labels.has_content and self._judge_identity is None:
            settings = self._settings.model_copy(update={"bertscore": False})
            async with assembled(settings, self._environment) as worker:
                yield AskedNow(worker.judge)
        else:
            identity = self._judge_identity or present_judge(self._settings).identity
            async with open_account(self._environment.aws_region) as account:
                yield AskedBefore(account, identity)

    @property
    def store(self) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
        """What keeps a record."""

        async def keep(record: Mapping[str, Any]) -> None:
            session = aws_session(self._environment.aws_region)
            async with open_history(session, self._settings) as objects:
                await Calibrations(objects).put(record)

        return keep
