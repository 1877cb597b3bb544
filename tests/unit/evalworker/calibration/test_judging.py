import asyncio

import pytest

from corpus.calibration.make_labels import PATH, ScriptedJudge, labels_csv
from evalworker.calibration.judgements import NoScore, Scores
from evalworker.calibration.judging import judge_items
from evalworker.calibration.labels import LabelledItem, parse_labels

ITEMS = tuple(LabelledItem(str(index), None, {}) for index in range(30))


class CountingJudge:
    """Scores 1 to 5 by id; remembers how many calls were under way at once."""

    identity = "counting"

    def __init__(self) -> None:
        self.under_way = self.most = self.calls = 0

    async def scores(self, item: LabelledItem) -> Scores:
        self.calls += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.002 if int(item.item_id) % 3 else 0)
        self.under_way -= 1
        return {"relevance": int(item.item_id) % 5 + 1}


async def test_items_keep_their_order_and_repeats_whatever_ends_first() -> None:
    judge, done = CountingJudge(), []
    judged = await judge_items(judge, ITEMS, repeat=3, concurrency=4, judged=lambda: done.append(1))
    assert [each.item.item_id for each in judged] == [item.item_id for item in ITEMS]
    assert all(each.judgements == ({"relevance": int(each.item.item_id) % 5 + 1},) * 3 for each in judged)
    assert judge.calls == len(done) == 90
    assert judge.most == 4


@pytest.mark.parametrize("score", [0, 6, -1])
async def test_a_score_off_the_scale_is_malformed_and_never_a_score(score: int) -> None:
    class Astray(CountingJudge):
        async def scores(self, item: LabelledItem) -> Scores:  # noqa: ARG002
            return {"relevance": 3, "coherence": score}

    (judged,) = await judge_items(Astray(), ITEMS[:1], repeat=1, concurrency=1)
    assert judged.judgements == (NoScore.MALFORMED,)


async def test_what_the_judge_raises_travels_on_and_ends_the_rest() -> None:
    class Broken(CountingJudge):
        async def scores(self, item: LabelledItem) -> Scores:
            if item.item_id == "5":
                raise ConnectionError
            return await super().scores(item)

    judge = Broken()
    with pytest.raises(ConnectionError):
        await judge_items(judge, ITEMS, repeat=1, concurrency=2)
    assert judge.calls < 10


def test_the_example_file_is_what_its_maker_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == labels_csv()
    assert len(parse_labels(PATH.read_bytes()).items) == 240


async def test_the_scripted_judge_says_the_same_of_the_same_item() -> None:
    items = parse_labels(PATH.read_bytes()).items[:20]
    one = await judge_items(ScriptedJudge(), items, repeat=2, concurrency=5)
    assert all(each.judgements[0] == each.judgements[1] for each in one)
    assert one[17].judgements[0] is NoScore.MALFORMED
