"""Requests cut from outside, as real tasks of a real event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.http.asgi import Message
from gateway.lifeline import CutReason, Lifelines, RequestCut

FOREVER_S = 3_600.0


class Client:
    """The client's side of `receive`."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        return await self._messages.get()

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    def send_more_body(self) -> None:
        self._messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def lifelines() -> Iterator[Lifelines]:
    """All requests under way: at the end of each test there are none, and nobody is read on for."""
    lifelines = Lifelines(drain_s=FOREVER_S, max_drains=2)
    yield lifelines
    assert not lifelines.active
    assert lifelines.drains == 0


@asynccontextmanager
async def usable_afterwards() -> AsyncIterator[None]:
    """Check that the block leaves its task able to go on: no cancellation counted, none on its way."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    yield
    assert task.cancelling() == before
    await turns()


@asynccontextmanager
async def cut(reason: CutReason = "client_gone") -> AsyncIterator[None]:
    """Check that the block is cut, and that its task can go on."""
    async with usable_afterwards():
        with pytest.raises(RequestCut) as caught:
            yield
        assert caught.value.reason == reason


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_request_whose_client_stays_is_left_alone(lifelines: Lifelines, client: Client) -> None:
    async with usable_afterwards(), lifelines.watch(client.receive) as lifeline:
        assert lifelines.active == {lifeline}
        client.send_more_body()
        await turns()
        assert not lifeline.gone
    assert lifeline.reason is None
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_client_that_leaves_cuts_the_request(lifelines: Lifelines, client: Client) -> None:
    async with cut(), lifelines.watch(client.receive) as lifeline:
        client.leave()
        await asyncio.sleep(FOREVER_S)
    assert lifeline.gone


async def test_cleaning_up_may_await(lifelines: Lifelines, client: Client) -> None:
    cleaned = False
    async with cut(), lifelines.watch(client.receive):
        client.leave()
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            await turns()
            cleaned = True
    assert cleaned


async def test_a_held_request_runs_on_and_knows_that_nobody_listens(
    lifelines: Lifelines, client: Client
) -> None:
    async with usable_afterwards(), lifelines.watch(client.receive) as lifeline:
        lifeline.hold(True)
        client.leave()
        await turns()
        assert lifeline.gone
        assert lifelines.drains == 1
        lifeline.client_left()
        assert lifelines.drains == 1
    assert lifeline.reason is None


async def test_reading_on_is_bounded_in_time(client: Client) -> None:
    lifelines = Lifelines(drain_s=0.01, max_drains=2)
    async with cut(), lifelines.watch(client.receive) as lifeline:
        lifeline.hold(True)
        client.leave()
        await asyncio.sleep(FOREVER_S)
    assert lifelines.drains == 0


async def test_only_so_many_are_read_on_for(client: Client) -> None:
    lifelines = Lifelines(drain_s=FOREVER_S, max_drains=0)
    async with cut(), lifelines.watch(client.receive) as lifeline:
        lifeline.hold(True)
        client.leave()
        await asyncio.sleep(FOREVER_S)
    assert lifelines.drains == 0
    assert lifelines.drains_refused == 1


async def test_a_place_to_read_on_is_given_back(client: Client) -> None:
    lifelines = Lifelines(drain_s=FOREVER_S, max_drains=1)
    for _ in range(3):
        async with lifelines.watch(client.receive) as lifeline:
            lifeline.hold(True)
            client.leave()
            await turns()
            assert lifeline.gone
    assert lifelines.drains_refused == 0


async def test_a_request_let_go_after_its_client_left_is_cut_at_its_next_wait(
    lifelines: Lifelines, client: Client
) -> None:
    async with cut(), lifelines.watch(client.receive) as lifeline:
        lifeline.hold(True)
        client.leave()
        await turns()
        lifeline.hold(False)
        await asyncio.sleep(FOREVER_S)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_request_that_is_cut_as_it_ends_leaves_its_task_usable(
    lifelines: Lifelines, client: Client, *, waits: bool
) -> None:
    async with cut(), lifelines.watch(client.receive) as lifeline:
        lifeline.hold(True)
        client.leave()
        await turns()
        lifeline.hold(False)
        if waits:
            await asyncio.sleep(0)


async def failing(lifelines: Lifelines, client: Client) -> None:
    async with lifelines.watch(client.receive) as lifeline:
        lifeline.cut("client_stalled")
        raise LookupError


async def test_a_fault_on_its_way_when_the_request_is_cut_stays_that_fault(
    lifelines: Lifelines, client: Client
) -> None:
    async with usable_afterwards():
        with pytest.raises(LookupError):
            await failing(lifelines, client)


async def test_a_client_that_leaves_exactly_when_the_request_ends_is_not_missed_nor_does_it_hurt(
    lifelines: Lifelines, client: Client
) -> None:
    async with usable_afterwards():
        async with lifelines.watch(client.receive) as lifeline:
            await turns()
            client.leave()
        assert lifeline.reason is None


async def test_a_body_that_swallows_the_cancellation_is_cut_all_the_same(
    lifelines: Lifelines, client: Client
) -> None:
    async with cut(), lifelines.watch(client.receive):
        client.leave()
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            await turns()


async def serve(lifelines: Lifelines, client: Client) -> None:
    async with lifelines.watch(client.receive):
        await asyncio.sleep(FOREVER_S)


async def test_a_cancellation_from_outside_passes_untouched(lifelines: Lifelines, client: Client) -> None:
    task = asyncio.create_task(serve(lifelines, client))
    await turns()
    task.cancel("theirs")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("ours_first", [True, False])
async def test_a_cancellation_from_outside_wins_over_a_cut(
    lifelines: Lifelines, client: Client, *, ours_first: bool
) -> None:
    task = asyncio.create_task(serve(lifelines, client))
    await turns()
    (lifeline,) = lifelines.active
    if ours_first:
        lifeline.cut("client_stalled")
        task.cancel()
    else:
        task.cancel()
        lifeline.cut("client_stalled")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_a_cancellation_from_outside_is_not_lost_when_the_request_ends_with_it(
    lifelines: Lifelines, client: Client
) -> None:
    async def ending() -> None:
        async with lifelines.watch(client.receive) as lifeline:
            await turns()
            lifeline.cut("client_stalled")
            own.cancel()

    own = asyncio.create_task(ending())
    with pytest.raises(asyncio.CancelledError):
        await own


async def test_a_cut_inside_a_timeout_is_a_cut_and_no_timeout(lifelines: Lifelines, client: Client) -> None:
    async with cut(), lifelines.watch(client.receive):
        client.leave()
        async with asyncio.timeout(FOREVER_S):
            await asyncio.sleep(FOREVER_S)


async def test_the_first_reason_stands(lifelines: Lifelines, client: Client) -> None:
    reasons: tuple[CutReason, ...] = ("shutting_down", "client_stalled", "client_gone")
    async with cut("shutting_down"), lifelines.watch(client.receive) as lifeline:
        for reason in reasons:
            asyncio.get_running_loop().call_soon(lifeline.cut, reason)
        await asyncio.sleep(FOREVER_S)


async def test_all_requests_are_cut_at_once_held_ones_too(lifelines: Lifelines) -> None:
    async def held(client: Client) -> None:
        async with lifelines.watch(client.receive) as lifeline:
            lifeline.hold(True)
            await asyncio.sleep(FOREVER_S)

    clients = [Client() for _ in range(4)]
    tasks = [asyncio.create_task(held(client)) for client in clients]
    await turns()
    clients[0].leave()
    await turns()
    assert (len(lifelines.active), lifelines.drains) == (4, 1)
    lifelines.cut_all("shutting_down")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end.reason for end in ends if isinstance(end, RequestCut)] == ["shutting_down"] * 4


async def test_one_task_may_serve_many_requests(lifelines: Lifelines) -> None:
    async with usable_afterwards():
        for _ in range(3):
            client = Client()
            async with cut(), lifelines.watch(client.receive):
                client.leave()
                await asyncio.sleep(FOREVER_S)
