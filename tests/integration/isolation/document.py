"""The tables of docs/isolation.md; `python -m integration.isolation.document` writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from integration.isolation import spellings
from integration.isolation.balancer import Balancer
from integration.isolation.cases import cases
from integration.isolation.forged import balancers_headers, groups, sessions
from integration.isolation.framing import AMBIGUOUS
from integration.isolation.routes import PROCESSES
from integration.isolation.subjects import Subject

ROOT: Final = Path(__file__).parents[3]
DOCUMENT: Final = ROOT / "docs/isolation.md"
BEGIN: Final = "<!-- the tables begin; they are written by tests/integration/isolation/document.py -->\n"
END: Final = "<!-- the tables end -->\n"

_HERE: Final = "tests/integration/isolation/test_below_http.py"
_PRIVACY: Final = "tests/integration/gateway/test_privacy.py"
_ENVELOPE: Final = "tests/integration/llmplatform/test_envelope.py"
_LIMITS: Final = "tests/integration/gateway/test_resilience.py"
_SPANS: Final = "tests/unit/llmplatform/test_waterfall.py"
BELOW: Final = (
    (
        "Row, EMF line, spans, sample, log of content and call of the model, of a request that names another",
        f"{_HERE}::test_no_signal_of_a_request_names_another_tenant",
    ),
    (
        "The same, of two tenants' requests under one trace id",
        f"{_HERE}::test_under_one_trace_each_signal_says_whose_it_is",
    ),
    ("What two tenants send at once", f"{_PRIVACY}::test_two_tenants_at_once_never_see_one_another"),
    (
        "Content in the log: of who opted in, and of nobody else",
        f"{_PRIVACY}::test_content_is_logged_only_for_who_opted_in",
    ),
    (
        "A ciphertext, opened as another tenant's or another request's",
        f"{_ENVELOPE}::test_it_opens_for_its_own_tenant_and_request_only",
    ),
    ("A ciphertext, opened with another key", f"{_ENVELOPE}::test_no_key_but_its_own_opens_it"),
    (
        "Data keys of tenants who share a key of KMS",
        f"{_ENVELOPE}::test_tenants_who_share_a_key_share_no_data_key",
    ),
    (
        "Places for requests at once",
        f"{_LIMITS}::test_a_tenant_over_its_limit_gets_429_and_other_tenants_are_served",
    ),
    ("What judging may cost", f"{_HERE}::test_what_one_tenant_spends_on_judging_is_not_anothers"),
    (
        "Counts of tokens, which are kept by the text's digest",
        f"{_HERE}::test_a_count_does_not_tell_that_the_same_was_counted_before",
    ),
    (
        "Spans of several tenants under one trace, and one's below another's",
        f"{_SPANS}::test_a_span_is_its_own_tenants_or_that_of_the_nearest_above_it",
    ),
)
"""What is held apart where there is no API, and the test that shows it."""


def tables() -> str:
    """All of them, in Markdown."""
    return "\n".join((*_of_processes(), *_spelled(), *_below()))


def written(document: str) -> str:
    """The document with the tables as they are now."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _of_processes() -> Iterator[str]:
    everything = tuple(cases())
    for process in PROCESSES:
        yield from (f"### The {process}", "", "| route | tried | answered |", "|---|---|---|")
        of_process = [case for case in everything if case.process == process]
        for route in dict.fromkeys(case.route for case in of_process):
            yield from (
                f"| `{case.route}` | {case.tried} | {case.answered} |"
                for case in of_process
                if case.route == route
            )
        yield "| every connection | what can be read in two ways, and its page behind it | 400, and the end |"
        yield ""


def _spelled() -> Iterator[str]:
    of, own = (Subject(name, key=f"llmp_{name}_x", session="e30.x") for name in ("its", "own"))
    yield from ("### How each is spelled", "", "| tried | ways |", "|---|---|")
    yield _ways("almost its key", spellings.almost_keys(of, own.key))
    yield _ways("its id, or another word, in the address", spellings.IDS)
    yield _ways("its name in x-tenant-id", spellings.claims(of.tenant))
    yield _ways("sessions made of its and the own", sessions(of, own, "session"))
    yield _ways("a load balancer's header, forged", balancers_headers(Balancer(), of.tenant))
    told = [", ".join(f"`{group}`" for group in one) or "none" for one in groups("its")]
    yield _ways("groups called almost like its", (one.replace("\u200b", "\\u200b") for one in told))
    yield _ways("what can be read in two ways", AMBIGUOUS)
    yield ""


def _below() -> Iterator[str]:
    yield from ("### Below HTTP", "", "| held apart | shown by |", "|---|---|")
    yield from (f"| {what} | `{test}` |" for what, test in BELOW)
    yield ""


def _ways(tried: str, ways: Iterable[str]) -> str:
    return f"| {tried} | {'; '.join(ways)} |"


def main() -> None:
    """Write them."""
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
