"""Whose spans are whose, under a trace that several tenants share."""

from typing import Any

from llmplatform.waterfall import segments_of_tenant


def names_of(tenant: str, *documents: dict[str, Any]) -> list[str]:
    return [document["id"] for document in segments_of_tenant(documents, tenant)]


def segment(id_: str, parent: str | None = None, tenant: str | None = None, **fields: Any) -> dict[str, Any]:
    document = {"id": id_, "name": id_, "start_time": 1.0, "end_time": 2.0, **fields}
    if parent is not None:
        document["parent_id"] = parent
    return document | ({"annotations": {"tenant_id": tenant}} if tenant is not None else {})


def test_a_span_is_its_own_tenants_or_that_of_the_nearest_above_it() -> None:
    call = segment("call", "request")
    theirs = segment("theirs", "call", "globex")
    shared = (call, segment("request", None, "acme"), theirs, segment("their-call", "theirs"))
    assert names_of("acme", *shared) == ["call", "request"]
    assert names_of("globex", *shared) == ["theirs", "their-call"]
    assert names_of("nobody", *shared) == []


def test_a_span_below_a_part_of_a_document_is_that_documents_tenants() -> None:
    whole = segment("request", None, "acme", subsegments=[segment("call")])
    assert names_of("acme", whole, segment("model", "call")) == ["request", "model"]


def test_opentelemetrys_own_name_counts_too() -> None:
    assert names_of("acme", segment("request", annotations={"tenant.id": "acme"})) == ["request"]


def test_what_says_of_nobody_is_nobodys() -> None:
    assert names_of("acme", segment("stray"), segment("lost", "unknown")) == []
    assert names_of("acme", segment("one", "other"), segment("other", "one"), segment("own", "own")) == []
