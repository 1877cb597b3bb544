from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from evalworker.standing import LOOK_AGAIN_AFTER, Standing
from evalworker.stores.faults import StoreUnavailable
from llmplatform.testing import START

RECORD = {"calibrated_at": (START - timedelta(days=3)).isoformat(), "passed": True}


@dataclass
class Store:
    record: Mapping[str, Any] | None
    reads: int = 0

    async def newest(self) -> Mapping[str, Any] | None:
        self.reads += 1
        return self.record


async def test_a_judge_that_people_agreed_with_has_an_age() -> None:
    standing = Standing(Store(RECORD).newest)
    await standing.look(START)
    assert standing.figures(START) == {"judge_uncalibrated": 0, "calibration_age_days": 3}
    assert standing.figures(START + timedelta(days=1))["calibration_age_days"] == 4


@pytest.mark.parametrize("record", [None, RECORD | {"passed": False}])
async def test_a_judge_that_they_did_not_agree_with_has_none(record: Mapping[str, Any] | None) -> None:
    standing = Standing(Store(record).newest)
    await standing.look(START)
    assert standing.figures(START) == {"judge_uncalibrated": 1}


async def test_nothing_is_said_before_the_store_was_read() -> None:
    async def away() -> Mapping[str, Any] | None:
        raise StoreUnavailable("the bucket does not answer")

    standing = Standing(away)
    with pytest.raises(StoreUnavailable):
        await standing.look(START)
    assert standing.figures(START) == {}


async def test_the_store_is_read_now_and_then() -> None:
    store = Store(None)
    standing = Standing(store.newest)
    await standing.look(START)
    store.record = RECORD
    await standing.look(START + LOOK_AGAIN_AFTER - timedelta(seconds=1))
    assert (store.reads, standing.figures(START)["judge_uncalibrated"]) == (1, 1)
    await standing.look(START + LOOK_AGAIN_AFTER)
    assert (store.reads, standing.figures(START)["judge_uncalibrated"]) == (2, 0)
