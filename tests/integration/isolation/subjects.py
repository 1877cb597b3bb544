"""Whose words an attacker sends: two tenants', and for comparison those of one that there is not.

The attacker is a tenant too. The others' names are of the same form, so that answers that say no more than
what they were asked with are of the same length.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from harness.platform import TENANT

ATTACKER: Final = TENANT
BANK: Final = "quillmark-bank"
"""Its content is under a key of its own."""
CLINIC: Final = "vantagemd-care"
"""Has opted in to content in the log."""
NOBODY: Final = "nimbusart-gone"
UNSAID: Final = "cinnabars"
"""What none of them speaks of."""


def made_trace() -> str:
    """A trace id as a client may choose it, here without letters that others look like."""
    return str(uuid.uuid4()).replace("a", "b").replace("e", "f")


@dataclass(slots=True)
class Subject:
    """One tenant's words, as an attacker may have got hold of them."""

    tenant: str
    key: str = field(default="", repr=False)
    """That opens it."""
    old_key: str = field(default="", repr=False)
    """Of before, and revoked."""
    model: str = ""
    """That only this tenant may use."""
    trace: str = ""
    """Of a request of its own, as `x-trace-id` has it."""
    shared_trace: str = ""
    """Of another, which the attacker has used for a request too."""
    spent_trace: str = ""
    """Of a third, which the attacker uses as often as it likes."""
    request: str = ""
    alarm: str = ""
    cursor: str = ""
    """Of a page of its costs."""
    etag: str = ""
    after: str = ""
    """Where a page of its requests in the console goes on."""
    session: str = field(default="", repr=False)
    """Of its console, as the browser keeps it."""
    csrf: str = ""
    secret: str = UNSAID
    """What it speaks of, and nobody else."""
    said: frozenset[str] = frozenset()
    """What no other tenant may read of it anywhere."""

    @property
    def words(self) -> dict[str, str]:
        """By the names that targets have for them."""
        hexadecimal = self.trace.replace("-", "")
        return {
            "tenant": self.tenant,
            "model": self.model,
            "trace": self.trace,
            "hex": hexadecimal,
            "xray": f"1-{hexadecimal[:8]}-{hexadecimal[8:]}",
            "shared": self.shared_trace,
            "spent": self.spent_trace,
            "request": self.request,
            "alarm": quote(self.alarm, safe=""),
            "cursor": quote(self.cursor, safe=""),
            "after": quote(self.after, safe=""),
        }

    @property
    def key_hash(self) -> str:
        """What is stored of its key."""
        return hashlib.sha256(self.key.encode()).hexdigest()
