"""What an answer tells: whether it names a tenant, and whether it is the one that anybody would get."""

import difflib
import html
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, unquote

from integration.isolation import spellings
from integration.isolation.subjects import Subject
from integration.isolation.wire import Answer, Sent

_DRIFTING: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00)?")
_TOKENS: Final = re.compile(r'(?<=name="csrf_token" value=")[^"]*|(?<=watch_login_)\d+=[0-9a-f]+')
_NUMBERS: Final = re.compile(r"[0-9a-f]*\d[0-9a-f,.-]*")
_TIMES: Final = re.compile(r"<caption>Where the time went.*?</table>", re.DOTALL)
"""A part that took no time has no line there."""
_OF_EACH: Final = ("x-request-id", "x-trace-id")
_HOP: Final = frozenset({"date", "content-length"})


def told_of(subjects: Iterable[Subject], answer: Answer, sent: Sent) -> set[str]:
    """What an answer says of tenants beyond what it was asked with."""
    known, text = _read(sent.text), _read(answer.text)
    return {
        word
        for subject in subjects
        for word in subject.said
        if word.lower() in text and word.lower() not in known
    }


class Comparing:
    """Makes answers about a subject comparable with those about another."""

    def __init__(self, subject: Subject, other: Subject) -> None:
        pairs: dict[str, str] = {}
        for name, word in subject.words.items():
            mine, theirs = unquote(word), unquote(other.words[name])
            for spell in spellings.LETTERS.values():
                one, another = spell(mine), spell(theirs)
                for write in _WRITTEN:
                    pairs.setdefault(write(one), write(another))
                    pairs.setdefault(write(unquote(one)), write(unquote(another)))
        pairs.pop("", None)
        self._pairs = sorted(pairs.items(), key=lambda pair: len(pair[0]), reverse=True)

    def comparable(self, answer: Answer, *, numbers: bool) -> tuple[int, str]:
        """An answer with the other's words in place of the subject's, without what differs each time.

        Without `numbers`, and how long what took, for answers that tell of a request of the asker's own.
        """
        headers = {name: value for name, value in answer.headers if name not in _HOP}
        text = "\n".join((*(f"{name}: {value}" for name, value in sorted(headers.items())), answer.body))
        for name in _OF_EACH:
            if (own := headers.get(name)) is not None:
                text = text.replace(own, f"<{name}>").replace(own.replace("-", ""), f"<{name}>")
        for mine, theirs in self._pairs:
            text = text.replace(mine, theirs)
        text = _TOKENS.sub("<token>", _DRIFTING.sub("<time>", text))
        return answer.status, text if numbers else _NUMBERS.sub("#", _TIMES.sub("<times>", text))


def difference(one: tuple[int, str], another: tuple[int, str]) -> str:
    """Where two answers that should be alike are not."""
    its, nobodys = (f"{status}\n{text}".splitlines() for status, text in (one, another))
    return "\n".join(difflib.unified_diff(its, nobodys, lineterm="", n=0))


def _escaped(text: str) -> str:
    return html.escape(unquote(text))


def _quoted(text: str) -> str:
    return quote(text, safe="/")


def _quoted_whole(text: str) -> str:
    return quote(text, safe="")


def _read(text: str) -> str:
    """A text as whoever looks for a word would read it."""
    return html.unescape(unquote(unquote(text))).lower()


_WRITTEN: Final[tuple[Callable[[str], str], ...]] = (str, _escaped, _quoted, _quoted_whole, unquote)
"""How a page or an address may write a word."""
