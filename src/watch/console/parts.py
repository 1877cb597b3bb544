"""What the console's pages are given, open: clients are opened and closed by `watch.bootstrap`."""

from dataclasses import dataclass

from llmplatform.aws.access import AccessSource
from llmplatform.aws.parameters import PolicySource
from llmplatform.catalogue import Catalogue
from llmplatform.clock import Clock
from llmplatform.prices import PriceTable
from watch.console.links import Links
from watch.console.oidc import OidcRules
from watch.console.oidc_keys import AlbKeys
from watch.console.sessions import SessionSeal
from watch.limits import Limits
from watch.reading.alarms import AlarmReader
from watch.reading.costs import Costs
from watch.reading.evaluations import EvaluationReaders
from watch.reading.lives import LifeReaders
from watch.reading.metrics import MetricReader
from watch.reading.standing import StandingReader
from watch.settings import WatchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleParts:
    """What pages and the door before them need."""

    clock: Clock
    policies: PolicySource
    access: AccessSource
    catalogue: Catalogue
    prices: PriceTable
    seal: SessionSeal
    settings: WatchSettings
    alarms: AlarmReader
    costs: Costs
    metrics: MetricReader
    standing: StandingReader
    limits: Limits
    lives: LifeReaders
    """With which one request is read."""
    evaluations: EvaluationReaders
    links: Links
    oidc: OidcRules | None = None
    """What is asked of a load balancer's header; None where none is believed."""
    alb_keys: AlbKeys | None = None
