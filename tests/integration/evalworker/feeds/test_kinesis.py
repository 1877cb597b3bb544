"""The Kinesis feed as workers run it: processes of their own that join, lose leases, are killed and stopped.

kcl-rs needs up to half a minute for a first lease and as long to notice a dead owner, so one story is played
once for all tests here, and they look at what it left. What each record does is `harness.kinesis_worker`'s.
It is played both ways: asking for records, and being pushed to by enhanced fan-out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from harness.cuttable import Cuttable
from harness.fan_out import FanOut, fanned_out
from harness.kinesis import Consumer, KinesisLocal, Seen, seen
from harness.platform import aws_client, eventually
from sandbox.emulator import Emulator

ONLY_SHARD: Final = "shardId-000000000000"
# A batch longer than any lease lives unrenewed: about ten seconds.
SLOW_S: Final = 35
# Longer than that too.
OUTAGE_S: Final = 15
WITHIN_S: Final = 120.0


@dataclass(slots=True)
class Chapter:
    """One application's workers, what was sent to them and what they saw."""

    name: str
    """Its stream's and its lease table's too."""
    folder: Path
    kinesis: KinesisLocal
    leases: Any
    """A client of the DynamoDB that has the lease table."""
    environment: Mapping[str, str]
    sent: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Consumer] = field(default_factory=dict)

    async def start(self, name: str) -> Consumer:
        told = {"FEED_STREAM": self.name, "FEED_APPLICATION": self.name}
        self.workers[name] = await Consumer.start(name, self.folder, {**self.environment, **told})
        return self.workers[name]

    def send(self, *names: str, at: float | None = None, **script: Any) -> str:
        """Send records; gives the last one's sequence number."""
        self.sent.update(names)
        return self.kinesis.put(self.name, [{"id": name, **script} for name in names], at=at)

    def hold(self, name: str) -> None:
        """Keep records that are `held_by` it unfinished, until `let_go`."""
        (self.folder / name).touch()

    def let_go(self, name: str) -> None:
        (self.folder / name).unlink()

    async def until(self, holds: Callable[[], bool]) -> None:
        await eventually(lambda: holds() or None, within_s=WITHIN_S)

    async def all_seen(self) -> None:
        await self.until(lambda: self.sent <= {one.id for one in self.seen()})

    def seen(self) -> list[Seen]:
        return seen(self.folder)

    def times(self, name: str, worker: str | None = None) -> int:
        return sum(one.id == name and worker in {None, one.worker} for one in self.seen())

    def repeated(self) -> set[str]:
        """What was met more than once."""
        times = Counter(one.id for one in self.seen())
        return {name for name in self.sent if times[name] > 1}

    def checkpoint(self, shard_id: str) -> str:
        row = self.leases.get_item(TableName=self.name, Key={"leaseKey": {"S": shard_id}})["Item"]
        return str(row["checkpoint"]["S"])

    def steal(self, shard_id: str) -> None:
        """Take a lease as another worker does, one that then never renews it."""
        self.leases.update_item(
            TableName=self.name,
            Key={"leaseKey": {"S": shard_id}},
            UpdateExpression="SET leaseOwner = :thief ADD leaseCounter :one",
            ExpressionAttributeValues={":thief": {"S": "thief"}, ":one": {"N": "1"}},
        )


def middle(of: tuple[float, float]) -> float:
    return sum(of) / 2


async def _sharing(chapter: Chapter) -> None:
    """Workers start, join and are robbed; a batch is slow; shards are split and merged."""
    kinesis, facts = chapter.kinesis, chapter.facts
    a = await chapter.start("a")
    chapter.send(*(f"first-{n}" for n in range(40)))
    await chapter.all_seen()
    chapter.send("again", again=2)
    chapter.send("raises", raises=1)
    await chapter.until(lambda: chapter.times("again") == 3 and chapter.times("raises") == 2)

    b = await chapter.start("b")
    await chapter.until(lambda: len(a.leases()) == len(b.leases()) == 1)
    chapter.send(*(f"joined-{n}" for n in range(20)))
    await chapter.all_seen()
    facts["readers after the join"] = {one.worker for one in chapter.seen() if "joined" in one.id}

    ranges = kinesis.open_shards(chapter.name)
    (of_a,), (of_b,) = a.leases(), b.leases()
    chapter.send("slow", at=middle(ranges[of_b]), slow_s=SLOW_S)
    chapter.hold("theft")
    chapter.send("stolen", at=middle(ranges[of_a]), held_by="theft")
    await chapter.until(lambda: chapter.times("stolen") > 1 and chapter.times("slow") == 1)
    chapter.send(*(f"behind-{n}" for n in range(5)), at=middle(ranges[of_b]))
    before = chapter.checkpoint(of_a)
    chapter.steal(of_a)
    await chapter.until(lambda: a.figures()["lost_batches"] == 1)
    times = chapter.times("stolen")
    await chapter.until(lambda: chapter.times("stolen") > times)
    facts["theft moved the checkpoint"] = chapter.checkpoint(of_a) != before
    chapter.let_go("theft")

    await kinesis.split(chapter.name, of_a)
    chapter.send(*(f"split-{n}" for n in range(10)))
    await chapter.all_seen()
    children = sorted(set(kinesis.open_shards(chapter.name)) - {of_b})
    await kinesis.merge(chapter.name, *children)
    chapter.send(*(f"merged-{n}" for n in range(10)))
    await chapter.all_seen()
    facts["ended when cancelled"] = await a.cancel(WITHIN_S)
    facts["given up after the theft"] = chapter.times("given up stolen", "a")
    facts["shards that were read"] = {one.shard_id for one in chapter.seen()}


async def _endings(chapter: Chapter) -> None:
    """A worker is killed in the midst of a batch, and its heir is stopped in the midst of one."""
    facts = chapter.facts
    killed = await chapter.start("killed-one")
    chapter.send("first")
    await chapter.all_seen()
    chapter.hold("kill")
    chapter.send("killed", held_by="kill")
    await chapter.until(lambda: chapter.times("killed", "killed-one") > 2)
    before = chapter.checkpoint(ONLY_SHARD)
    await killed.kill()
    facts["kill moved the checkpoint"] = chapter.checkpoint(ONLY_SHARD) != before
    chapter.let_go("kill")

    stopped = await chapter.start("stopped-one")
    await chapter.until(lambda: chapter.times("killed", "stopped-one") > 0)
    chapter.hold("stop")
    chapter.send("stopped", held_by="stop")
    await chapter.until(lambda: chapter.times("stopped", "stopped-one") > 1)
    before = chapter.checkpoint(ONLY_SHARD)
    facts["stopped by itself"] = await stopped.stop(WITHIN_S)
    facts["given up at the stop"] = chapter.times("given up stopped", "stopped-one")
    facts["stop moved the checkpoint"] = chapter.checkpoint(ONLY_SHARD) != before
    chapter.let_go("stop")

    heir = await chapter.start("heir")
    await chapter.until(lambda: chapter.times("stopped", "heir") > 0)
    chapter.send("ends while stopping", until_stopped=True, slow_s=1)
    await chapter.until(lambda: chapter.times("ends while stopping") > 0)
    before = chapter.checkpoint(ONLY_SHARD)
    await heir.stop(WITHIN_S)
    facts["grace moved the checkpoint"] = chapter.checkpoint(ONLY_SHARD) != before


async def _outages(chapter: Chapter, store: Cuttable) -> None:
    """A lease store that is not there at the start, and later is away for longer than leases live."""
    worker = await chapter.start("lonely")
    last = chapter.send(*(f"early-{n}" for n in range(5)))
    await chapter.until(lambda: worker.figures().get("starts", 0) > 1)
    await store.mend()
    await chapter.all_seen()
    await chapter.until(lambda: chapter.checkpoint(ONLY_SHARD) == last)
    chapter.facts["starts until the store was there"] = worker.figures()["starts"]
    await store.cut()
    chapter.send(*(f"outage-{n}" for n in range(5)))
    await chapter.until(lambda: worker.figures()["failed_checkpoints"] > 0)
    await asyncio.sleep(OUTAGE_S)
    await store.mend()
    chapter.send(*(f"after-{n}" for n in range(5)))
    await chapter.all_seen()
    await chapter.until(lambda: worker.figures()["records_read"] >= len(chapter.sent))
    chapter.facts["figures"] = worker.figures()
    await worker.kill()
    await store.cut()


async def _play(folder: Path) -> dict[str, Chapter]:
    async with KinesisLocal(folder) as kinesis, Emulator(folder) as aws, fanned_out(kinesis) as fan_out:
        leases = aws_client("dynamodb", aws.url)
        store = Cuttable(aws.port)  # it has an address, where nobody listens yet
        usual = {**aws.environment(), "AWS_ENDPOINT_URL_KINESIS": kinesis.url}
        # One attempt a call: kcl-rs gives its own start up after twenty.
        through_store = {**usual, "AWS_ENDPOINT_URL_DYNAMODB": store.url, "AWS_MAX_ATTEMPTS": "1"}
        pushed = {**usual, "AWS_ENDPOINT_URL_KINESIS": fan_out.url, "FEED_FAN_OUT": "1"}
        told = {
            "sharing": usual,
            "endings": usual,
            "sharing-pushed": pushed,
            "endings-pushed": pushed,
            "outages": through_store,
        }
        chapters = [
            Chapter(name, folder / name, kinesis, leases, environment) for name, environment in told.items()
        ]
        try:
            for chapter in chapters:
                chapter.folder.mkdir()
                await kinesis.create_stream(chapter.name, 2 if "sharing" in chapter.name else 1)
            async with asyncio.TaskGroup() as together:
                for chapter in chapters:
                    match chapter.name.partition("-")[0]:
                        case "sharing":
                            together.create_task(_sharing(chapter))
                        case "endings":
                            together.create_task(_endings(chapter))
                        case _:
                            together.create_task(_outages(chapter, store))
            for chapter in chapters:
                _note_subscriptions(chapter, fan_out)
        finally:
            for chapter in chapters:
                for worker in chapter.workers.values():
                    await worker.kill()
            leases.close()
    return {chapter.name: chapter for chapter in chapters}


def _note_subscriptions(chapter: Chapter, fan_out: FanOut) -> None:
    mine = [shard for consumer, shard, _ in fan_out.subscriptions if f"stream/{chapter.name}/" in consumer]
    chapter.facts["subscriptions"] = Counter(mine)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chapter]:
    return asyncio.run(_play(tmp_path_factory.mktemp("kinesis")))


@pytest.fixture(params=["sharing", "sharing-pushed"])
def sharing(story: dict[str, Chapter], request: pytest.FixtureRequest) -> Chapter:
    return story[request.param]


@pytest.fixture(params=["endings", "endings-pushed"])
def endings(story: dict[str, Chapter], request: pytest.FixtureRequest) -> Chapter:
    return story[request.param]


@pytest.fixture
def outages(story: dict[str, Chapter]) -> Chapter:
    return story["outages"]


@pytest.mark.parametrize("name", ["sharing", "sharing-pushed", "endings", "endings-pushed", "outages"])
def test_every_record_is_seen_whatever_happens(story: dict[str, Chapter], name: str) -> None:
    assert story[name].sent <= {one.id for one in story[name].seen()}


def test_a_record_is_seen_twice_only_where_it_was_unfinished(sharing: Chapter, endings: Chapter) -> None:
    assert sharing.repeated() == {"again", "raises", "stolen"}
    assert endings.repeated() == {"killed", "stopped"}


def test_what_is_unfinished_is_brought_again_until_it_is_not(sharing: Chapter) -> None:
    assert sharing.times("again") == 3


def test_a_processor_that_raises_costs_no_record(sharing: Chapter) -> None:
    assert sharing.times("raises") == 2


def test_a_worker_that_joins_gets_its_share(sharing: Chapter) -> None:
    assert sharing.facts["readers after the join"] == {"a", "b"}


def test_a_batch_longer_than_a_lease_keeps_its_lease(sharing: Chapter) -> None:
    times = {one.id: one.at for one in sharing.seen()}
    assert sharing.times("slow") == 1
    assert min(times[f"behind-{n}"] for n in range(5)) > times["slow"] + SLOW_S


def test_a_batch_whose_lease_is_stolen_is_given_up_and_not_checkpointed(sharing: Chapter) -> None:
    assert sharing.facts["given up after the theft"] == 1
    assert not sharing.facts["theft moved the checkpoint"]


def test_shards_of_a_split_and_of_a_merge_are_read(sharing: Chapter) -> None:
    assert sharing.facts["shards that were read"] == {f"shardId-{n:012}" for n in range(5)}


def test_what_a_killed_worker_had_in_hand_comes_to_the_next(endings: Chapter) -> None:
    assert not endings.facts["kill moved the checkpoint"]
    assert endings.times("killed", "stopped-one") == 1


def test_a_stopped_worker_leaves_its_unfinished_batch_to_the_next(endings: Chapter) -> None:
    assert endings.facts["stopped by itself"]
    assert endings.facts["given up at the stop"] == 1
    assert not endings.facts["stop moved the checkpoint"]
    assert endings.times("stopped", "heir") == 1


def test_who_is_pushed_to_subscribes_again_when_a_subscription_is_over(story: dict[str, Chapter]) -> None:
    subscriptions = story["sharing-pushed"].facts["subscriptions"]
    assert set(subscriptions) == {f"shardId-{n:012}" for n in range(5)}
    assert max(subscriptions.values()) > 1
    assert not story["sharing"].facts["subscriptions"]


def test_a_feed_that_is_cancelled_ends_its_consumer(sharing: Chapter) -> None:
    assert sharing.facts["ended when cancelled"]


def test_a_batch_that_ends_within_the_grace_is_checkpointed(endings: Chapter) -> None:
    assert endings.facts["grace moved the checkpoint"]


def test_a_feed_outlives_its_lease_store(outages: Chapter) -> None:
    figures = outages.facts["figures"]
    starts = outages.facts["starts until the store was there"]
    assert starts > 1  # kcl-rs gave up
    assert figures["starts"] == starts
    assert figures["failed_checkpoints"] > 0
    assert outages.repeated() <= {f"outage-{n}" for n in range(5)}
