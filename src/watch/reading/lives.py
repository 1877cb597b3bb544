"""All that a request's whole life is read with."""

from dataclasses import dataclass

from llmplatform.aws.eval_content import ContentReader
from llmplatform.aws.ledger_reader import LedgerReader
from watch.reading.calibrations import CalibrationReader
from watch.reading.log_lines import LogLineReader
from watch.reading.requests import RequestSearch
from watch.reading.scores import ScoreReader
from watch.reading.traces import TraceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeReaders:
    """One reader a source."""

    search: RequestSearch
    ledger: LedgerReader
    traces: TraceReader
    scores: ScoreReader
    calibrations: CalibrationReader
    log_lines: LogLineReader
    content: ContentReader
