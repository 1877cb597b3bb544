"""All that the pages of evaluations read with, beside what a request's life is read with."""

from dataclasses import dataclass

from watch.reading.evaluating import EvaluatingReader
from watch.reading.minutes import MinuteReader


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReaders:
    """One reader a source."""

    minutes: MinuteReader
    evaluating: EvaluatingReader
