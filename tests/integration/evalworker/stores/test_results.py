"""Results in DynamoDB, over the wire: one for each request and judge."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from contract.receivers import HttpReceiver, json_answer
from corpus.eval_results import CANARY, make_event, make_result, make_sealed_row
from evalworker.stores.results import KEYS_PER_CALL, Results, StoreRefused, StoreUnavailable
from harness.eval_stores import results_at
from llmplatform.aws.patient_dynamodb import ATTEMPTS
from llmplatform.evaluations import EvalContent, EvalResult, Judge, ResultKey, encode_result

pytestmark = pytest.mark.asyncio(loop_scope="module")


def key_of(result: EvalResult) -> ResultKey:
    return ResultKey.of(result.tenant_id, result.event_at, result.request_id, result.judge.identity)


async def test_a_result_is_stored_and_known(results: Results) -> None:
    result = make_result()
    assert await results.known([key_of(result)]) == {}
    assert await results.put(result) is result
    assert await results.known([key_of(result)]) == {key_of(result): result}


async def test_sealed_content_stays_sealed(results: Results) -> None:
    result = make_sealed_row().result
    await results.put(result)
    assert await results.known([key_of(result)]) == {key_of(result): result}


async def test_who_comes_second_is_given_what_the_first_wrote(results: Results) -> None:
    first = make_result()
    second = replace(first, judged_at=first.judged_at + timedelta(seconds=1), scores={"relevance": 1})
    await results.put(first)
    assert await results.put(second) == first
    assert await results.known([key_of(first)]) == {key_of(first): first}


async def test_our_own_result_put_again_is_ours(results: Results) -> None:
    # What a worker sees when the answer to its first attempt was lost.
    result = make_result()
    await results.put(replace(result))
    assert await results.put(result) is result


async def test_of_many_racing_writers_one_wins_and_all_agree(results: Results) -> None:
    verdicts = [
        make_result(
            judged_at=make_result().judged_at + timedelta(microseconds=number), scores={"relevance": 1}
        )
        for number in range(12)
    ]
    stored = await asyncio.gather(*map(results.put, verdicts))
    assert len({one.judged_at for one in stored}) == 1
    assert sum(one is verdict for one, verdict in zip(stored, verdicts, strict=True)) == 1


async def test_another_judge_has_a_result_of_its_own(results: Results) -> None:
    ours = make_result()
    theirs = make_result(judge=Judge("0000ffff0000ffff", "vendor.other-v1:0", "answer-quality", "2"))
    assert await results.put(ours) is ours
    assert await results.put(theirs) is theirs
    assert set(await results.known([key_of(ours), key_of(theirs)])) == {key_of(ours), key_of(theirs)}


async def test_many_keys_are_asked_for_some_of_them_twice(results: Results) -> None:
    stored = [make_result(make_event(number)) for number in range(2 * KEYS_PER_CALL + 3)]
    await asyncio.gather(*map(results.put, stored))
    keys = [key_of(one) for one in stored]
    unknown = [key_of(make_result(make_event(number))) for number in range(900, 903)]
    assert set(await results.known([*keys, *keys, *unknown])) == set(keys)


async def test_no_keys_are_no_question(results: Results) -> None:
    assert await results.known([]) == {}


async def test_content_over_the_limit_is_cut_to_fit(results: Results) -> None:
    large = make_result(content=EvalContent(prompt="“é" * 400_000, completion="x" * 900_000))
    await results.put(large)
    stored = (await results.known([key_of(large)]))[key_of(large)]
    assert isinstance(stored.content, EvalContent)
    assert stored.content.prompt_truncated
    assert stored.content.completion_truncated


async def test_an_impossible_key_fails_nobody_beside_it(results: Results) -> None:
    good = make_result()
    await results.put(good)
    endless = make_result(request_id="x" * 2_000)
    assert await results.known([key_of(endless), ResultKey("", "1"), key_of(good)]) == {key_of(good): good}


async def test_a_result_that_the_table_does_not_take_is_refused_and_not_quoted(results: Results) -> None:
    with pytest.raises(StoreRefused) as caught:
        await results.put(make_result(request_id=f"{CANARY}{'x' * 2_000}"))
    assert CANARY not in str(caught.value)


async def test_a_foreign_row_is_not_known_and_refuses_whoever_comes_to_its_place(
    results: Results, dynamodb: Any, table: str
) -> None:
    result = make_result()
    tenant_id, result_key = key_of(result)
    await dynamodb.put_item(
        TableName=table, Item={"tenant_id": {"S": tenant_id}, "result_key": {"S": result_key}}
    )
    assert await results.known([key_of(result)]) == {}
    with pytest.raises(StoreRefused):
        await results.put(result)


async def test_a_missing_table_is_unavailable() -> None:
    server = HttpReceiver(lambda *_: json_answer({"__type": "x#ResourceNotFoundException"}, status=400))
    await server.start()
    async with results_at(server.url) as results:
        with pytest.raises(StoreUnavailable, match="ResourceNotFoundException"):
            await results.put(make_result())
        with pytest.raises(StoreUnavailable):
            await results.known([key_of(make_result())])
    await server.stop()


async def test_throttling_is_waited_out() -> None:
    def answer(server: HttpReceiver, _: web.BaseRequest, __: bytes) -> web.Response:
        if server.requests < ATTEMPTS:
            return json_answer({"__type": "x#ThrottlingException"}, status=400)
        return json_answer({})

    server = HttpReceiver(answer)
    await server.start()
    async with results_at(server.url) as results:
        result = make_result()
        assert await results.put(result) is result
    assert server.requests == ATTEMPTS
    await server.stop()


async def test_keys_that_were_left_out_are_asked_for_again() -> None:
    stored = [make_result(make_event(number)) for number in range(3)]
    items = {key_of(one).result_key: encode_result(one) for one in stored}

    def answer(_: HttpReceiver, __: web.BaseRequest, body: bytes) -> web.Response:
        """One item an answer; the other keys are left unprocessed."""
        ((name, asked),) = json.loads(body)["RequestItems"].items()
        first, *others = asked["Keys"]
        left = {name: {**asked, "Keys": others}} if others else {}
        found = {name: [items[first["result_key"]["S"]]]}
        return json_answer({"Responses": found, "UnprocessedKeys": left})

    server = HttpReceiver(answer)
    await server.start()
    async with results_at(server.url) as results:
        assert list((await results.known([key_of(one) for one in stored])).values()) == stored
    await server.stop()


async def test_a_store_that_is_down_is_unavailable_and_serves_when_it_is_back() -> None:
    server = HttpReceiver(lambda *_: json_answer({}))
    await server.start()
    async with results_at(server.url, timeout_s=0.3) as results:
        result = make_result()
        for mood in ("failing", "garbage", "silent"):
            server.mood = mood
            with pytest.raises(StoreUnavailable):
                async with asyncio.timeout(60):
                    await results.put(result)
        await server.stop()
        with pytest.raises(StoreUnavailable):
            await results.put(result)
        with pytest.raises(StoreUnavailable):
            await results.known([key_of(make_result(make_event(number))) for number in range(60)])
        server.mood = "well"
        await server.start()
        assert await results.put(result) is result
    await server.stop()
