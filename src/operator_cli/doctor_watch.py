"""`llm-platform doctor`, of alarms: whether they are what they should be, and whether somebody hears them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aioboto3

from llmplatform.errors import ConfigFault
from operator_cli.check import Check
from operator_cli.watch_account import applying_here, here, wanted_here
from watch.alarming.applying import Planned
from watch.alarming.definitions import SCOPE_TAG
from watch.alarming.planning import Plan, Selection
from watch.aws.receivers import receivers

_APPLY: Final = "`llm-platform watch apply`"
_DEPLOY: Final = "the platform's are the deployment's: deploy llm-platform-watch (or `make up` on a laptop)"
_COMPARE: Final = "set the deployment's variables first (docs/deploy.md): each alarm's text names the console"


class Alarms:
    """Checks of alarms in an account."""

    def __init__(self, region: str) -> None:
        self._region = region

    def online(self) -> tuple[tuple[str, Callable[[aioboto3.Session], Awaitable[Check]]], ...]:
        """Those that ask AWS."""
        return (("alarms", self._alarms), ("receivers", self._receivers))

    async def _alarms(self, _session: aioboto3.Session) -> Check:
        try:
            wanted = wanted_here(here())
            async with applying_here(self._region) as applying:
                planned = await applying.plan(wanted, Selection(platform_wide=True))
        except ConfigFault as fault:
            return Check("alarms", "failed", str(fault), "unset or correct the variable")
        return alarms_check(planned, console_known=wanted.console_url is not None)

    async def _receivers(self, session: aioboto3.Session) -> Check:
        async with applying_here(self._region) as applying, session.client("sns") as sns:
            confirmed = {}
            for severity in ("critical", "warning"):
                found = await receivers(sns, applying.account.topic_arn(severity) or "")
                confirmed[severity] = sum(one.confirmed for one in found)
        return receivers_check(confirmed)


def alarms_check(planned: Planned, *, console_known: bool) -> Check:
    """Whether all alarms are there and what they should be.

    Where nobody said what the console's address is, all of them differ by that at least.
    """
    plan = planned.plan
    counts = {
        "missing": len(plan.create),
        "out of date": len(plan.update),
        "no longer wanted": len(plan.remove),
        "in the way of ours": len(plan.refused),
    }
    wrong = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    if planned.over:
        return Check("alarms", "warning", "; ".join(planned.over), "see `llm-platform watch plan`")
    if wrong:
        return Check("alarms", "warning", wrong, _fix(plan, console_known=console_known))
    muted = f", {len(plan.muted)} of them muted" if plan.muted else ""
    return Check("alarms", "ok", f"{len(plan.unchanged)} as they should be{muted}")


def _fix(plan: Plan, *, console_known: bool) -> str:
    if plan.update and not console_known:
        return _COMPARE
    put = {definition.told.target.scope for definition, _ in plan.puts()}
    removed = {alarm.tags.get(SCOPE_TAG) for alarm in plan.remove}
    return _DEPLOY if "platform" in put | removed else _APPLY


def receivers_check(confirmed: Mapping[str, int]) -> Check:
    """Whether somebody hears what is critical and what is a warning."""
    deaf = [topic for topic, number in confirmed.items() if not number]
    if deaf:
        return Check(
            "receivers",
            "warning",
            f"nobody is told what is {' or '.join(deaf)}",
            "`llm-platform watch subscribe` (docs/alarms.md), then `llm-platform watch test`",
        )
    told = ", ".join(f"{number} of {topic}" for topic, number in confirmed.items())
    return Check("receivers", "ok", told)
