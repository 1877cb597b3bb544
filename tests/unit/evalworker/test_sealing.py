"""Content on its way through the worker: opened for the judge, sealed as the tenant's policy has it."""

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from evalworker.sealing import Sealing
from llmplatform import samples
from llmplatform.aws.envelope import ContentTampered, KeyUnavailable
from llmplatform.evaluations import EvalContent
from llmplatform.samples import Envelope, SampleEvent
from llmplatform.testing import START, make_policy

ARN = "arn:aws:kms:us-east-1:1:key/2"
EVENT = SampleEvent(
    schema_version=1,
    request_id="r-1",
    trace_id="t-1",
    span_id="s-1",
    tenant_id="acme",
    model_id="small",
    endpoint_type="bedrock",
    outcome="completed",
    received_at=START,
    completed_at=START,
    sample_rate=0.5,
    sample_reason="rate",
    content_mode="full",
    prompt="user: CANARY?",
    completion="CANARY!",
    completion_truncated=True,
    reference="CANARY.",
    contexts=("CANARY;",),
    metadata={"note": "CANARY"},
    prompt_sha256="ab" * 32,
)
FULL = make_policy(content_mode="full")


@dataclass
class Keys:
    """Content keys that only turn bytes around, and remember for whom."""

    gone: bool = False
    used: list[tuple[str, str, str]] = field(default_factory=list)

    async def seal(self, plaintext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        if self.gone:
            raise KeyUnavailable("KMSInvalidStateException")
        self.used.append((kms_key, tenant_id, request_id))
        return plaintext[::-1]

    async def open(self, ciphertext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        return await self.seal(ciphertext, kms_key=kms_key, tenant_id=tenant_id, request_id=request_id)

    async def arn(self, kms_key: str) -> str:
        return ARN if kms_key == "alias/acme" else kms_key


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def sealing(keys: Keys) -> Sealing:
    return Sealing(keys)  # type: ignore[arg-type]  # by the shape of it


async def test_a_sample_in_the_clear_is_opened_as_it_is(sealing: Sealing, keys: Keys) -> None:
    content = await sealing.opened(EVENT, FULL)
    assert (content.prompt, content.completion, content.completion_truncated) == (
        "user: CANARY?",
        "CANARY!",
        True,
    )
    assert (content.reference, content.contexts, content.reasons) == ("CANARY.", ("CANARY;",), {})
    assert not keys.used


async def test_without_a_key_everything_stays_as_it_is(sealing: Sealing) -> None:
    policy, content = FULL, EvalContent(completion="CANARY!")
    assert await sealing.sealed(EVENT, content, policy) is content
    assert await sealing.as_stored(EVENT, policy) == EVENT


async def test_under_a_key_no_word_is_in_the_clear_and_all_of_them_come_back(
    sealing: Sealing, keys: Keys
) -> None:
    stored = await sealing.as_stored(EVENT, make_policy(kms_key="alias/acme"))
    assert stored.enc is not None
    assert stored.enc.kms_key == ARN, "an alias may be given another key later"
    assert b"CANARY" not in msgspec.json.encode(stored)
    assert stored.prompt_sha256 == EVENT.prompt_sha256
    assert keys.used == [("alias/acme", "acme", "r-1")]
    assert await sealing.opened(stored, FULL) == await sealing.opened(EVENT, FULL)


async def test_reasons_of_the_judge_are_sealed_with_the_rest(sealing: Sealing) -> None:
    content = EvalContent(completion="CANARY!", reasons={"relevance": "it says CANARY"})
    sealed = await sealing.sealed(EVENT, content, make_policy(kms_key="alias/acme"))
    assert isinstance(sealed, Envelope)
    assert sealed.kms_key == ARN
    assert b"CANARY" not in base64.b64decode(sealed.ciphertext)
    assert "CANARY" not in repr(sealed)
    assert b"it says CANARY" in base64.b64decode(sealed.ciphertext)[::-1]


async def test_what_is_sealed_already_stays_under_the_key_that_it_has(sealing: Sealing, keys: Keys) -> None:
    sealed = msgspec.structs.replace(EVENT, enc=Envelope("arn:aws:kms:us-east-1:1:key/1", "AAAA"))
    policy = make_policy(kms_key="alias/acme", content_mode="full")
    assert await sealing.as_stored(sealed, policy) is sealed
    assert not keys.used


async def test_what_came_under_a_key_is_not_stored_in_the_clear_once_the_policy_names_none(
    sealing: Sealing,
) -> None:
    former = "arn:aws:kms:us-east-1:1:key/1"
    event = msgspec.structs.replace(EVENT, enc=Envelope(former, "AAAA"))
    sealed = await sealing.sealed(event, EvalContent(completion="CANARY!"), make_policy())
    assert isinstance(sealed, Envelope)
    assert sealed.kms_key == former


async def test_a_key_that_is_gone_is_told_and_nothing_goes_out_in_the_clear(keys: Keys) -> None:
    keys.gone = True
    sealing, policy = Sealing(keys), make_policy(kms_key="alias/acme")  # type: ignore[arg-type]
    with pytest.raises(KeyUnavailable):
        await sealing.as_stored(EVENT, policy)
    with pytest.raises(KeyUnavailable):
        await sealing.sealed(EVENT, EvalContent(completion="CANARY!"), policy)


@pytest.mark.parametrize(
    "ciphertext",
    ["no base64!", base64.b64encode(b"no content"[::-1]).decode(), base64.b64encode(b"\xff").decode()],
)
async def test_what_is_no_samples_content_is_told_without_quoting_it(
    sealing: Sealing, ciphertext: str
) -> None:
    event = msgspec.structs.replace(samples.split_content(EVENT)[0], enc=Envelope(ARN, ciphertext))
    with pytest.raises(ContentTampered) as told:
        await sealing.opened(event, FULL)
    assert "no content" not in str(told.value)


NARROW: dict[str, Any] = {"content_mode": "truncated", "max_prompt_chars": 8, "max_completion_chars": 4}


async def test_a_policy_that_was_narrowed_holds_for_samples_on_their_way(sealing: Sealing) -> None:
    policy = make_policy(**NARROW)
    content = await sealing.opened(EVENT, policy)
    assert (content.prompt, content.prompt_truncated) == ("user: CA", True)
    assert (content.completion, content.reference, content.contexts) == ("CANA", "CANA", ("CANA",))
    assert content.reference_truncated
    assert content.contexts_truncated
    stored = await sealing.as_stored(EVENT, policy)
    assert b"CANARY" not in msgspec.json.encode(msgspec.structs.replace(stored, metadata={}))


async def test_it_holds_for_what_came_under_a_key(sealing: Sealing) -> None:
    sealed = await sealing.as_stored(EVENT, make_policy(kms_key="alias/acme", content_mode="full"))
    stored = await sealing.as_stored(sealed, make_policy(kms_key="alias/acme", **NARROW))
    assert (await sealing.opened(stored, FULL)).completion == "CANA"
    wide = make_policy(kms_key="alias/acme", content_mode="truncated")
    assert await sealing.as_stored(sealed, wide) is sealed, "nothing was too long"
