import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from llmplatform.eval_status import STATUS_ENTRY, STATUSES, SeriesStatus, encode_statuses
from llmplatform.testing import START, FakeClock
from watch.reading.standing import MAX_KEYS, StandingReader, StandingUnavailable

ACME = SeriesStatus(key="acme#small#relevance#0123", status="steady", current=True, began=START, latest=START)


class Rows:
    def __init__(self, **rows: Any) -> None:
        self.rows = rows
        self.asked: list[list[str]] = []
        self.failing = False
        self.gives_back = 0

    async def batch_get_item(self, *, RequestItems: Any) -> dict[str, Any]:  # noqa: N803  # as DynamoDB names it
        await asyncio.sleep(0)
        request = RequestItems["eval-detector"]
        assert all(key["entry"]["S"] == STATUS_ENTRY for key in request["Keys"])
        tenants = [key["owner"]["S"] for key in request["Keys"]]
        self.asked.append(tenants)
        if self.failing:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "BatchGetItem")
        kept, back = tenants[self.gives_back :], request["Keys"][: self.gives_back]
        self.gives_back = 0
        items = [{"owner": {"S": one}, STATUSES: self.rows[one]} for one in kept if one in self.rows]
        answer: dict[str, Any] = {"Responses": {"eval-detector": items}}
        if back:
            answer["UnprocessedKeys"] = {"eval-detector": {**request, "Keys": back}}
        return answer


def reading(rows: Rows) -> tuple[StandingReader, FakeClock]:
    clock = FakeClock()
    client: Any = rows
    return StandingReader(client, clock), clock


async def test_all_tenants_are_one_call_and_kept_a_while() -> None:
    rows = Rows(acme=encode_statuses([ACME]))
    reader, clock = reading(rows)
    standing = await reader.of(["acme", "zeta"])
    assert standing.by_tenant == {"acme": (ACME,), "zeta": ()}
    await reader.of(["zeta"])
    assert rows.asked == [["acme", "zeta"]]
    clock.advance(s=30)
    await reader.of(["zeta"])
    assert len(rows.asked) == 2


async def test_more_tenants_than_a_call_takes_are_several() -> None:
    rows = Rows()
    reader, _ = reading(rows)
    await reader.of(f"t{at}" for at in range(250))
    assert [len(one) for one in rows.asked] == [MAX_KEYS, MAX_KEYS, 50]


async def test_two_who_ask_at_once_share_one_call() -> None:
    rows = Rows()
    reader, _ = reading(rows)
    await asyncio.gather(reader.of(["acme"]), reader.of(["acme", "zeta"]))
    assert sorted(one for asked in rows.asked for one in asked) == ["acme", "zeta"]


async def test_what_dynamodb_gives_back_is_asked_again() -> None:
    rows = Rows(acme=encode_statuses([ACME]))
    rows.gives_back = 1
    reader, _ = reading(rows)
    assert (await reader.of(["acme", "zeta"])).by_tenant["acme"] == (ACME,)


async def test_when_it_fails_the_last_good_answer_is_given_with_its_age() -> None:
    rows = Rows(acme=encode_statuses([ACME]))
    reader, clock = reading(rows)
    await reader.of(["acme"])
    clock.advance(s=60)
    rows.failing = True
    standing = await reader.of(["acme"])
    assert (standing.read_at, bool(standing.failed)) == (START, True)
    with pytest.raises(StandingUnavailable):
        await reader.of(["zeta"])


async def test_a_row_that_cannot_be_read_is_unknown_and_takes_nobody_else_along() -> None:
    rows = Rows(acme=encode_statuses([ACME]), zeta={"S": "nonsense"})
    reader, _ = reading(rows)
    assert (await reader.of(["acme", "zeta"])).by_tenant == {"acme": (ACME,), "zeta": None}
