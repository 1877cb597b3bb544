import pytest

from evalworker.bertscore.scorer import BertScorer


@pytest.fixture(scope="session")
def scorer() -> BertScorer:
    return BertScorer.load()
