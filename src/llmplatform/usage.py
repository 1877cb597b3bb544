"""Token usage of one backend call: disjoint classes, each possibly unknown, and where the figures came from.

Vendors disagree on what "input" means: Bedrock excludes cached tokens, OpenAI and OpenTelemetry include
them. Here `input_tokens` excludes them, because that is what is billed at the input price, and
`prompt_tokens` is the sum. None means "not reported"; it is never 0.
"""

from dataclasses import dataclass, fields
from enum import StrEnum


class UsageSource(StrEnum):
    """Where a usage figure came from."""

    REPORTED = "reported"
    """The backend said so at the end of the reply."""
    DRAINED = "drained"
    """The backend said so, after the client had left and its stream was read to the end."""
    CONTINUOUS = "continuous"
    """The last running count of a reply that was cut."""
    ESTIMATED = "estimated"
    """Counted or estimated by us."""
    UNKNOWN = "unknown"
    """Nobody knows."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one backend call by billing class."""

    input_tokens: int | None = None
    """Input billed at the input price: neither read from nor written to a cache."""
    output_tokens: int | None = None
    """Everything generated, reasoning included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All cache writes, whatever their time to live."""
    cache_write_1h_tokens: int | None = None
    """The part of `cache_write_tokens` with a time to live of one hour, which costs more."""
    reasoning_tokens: int | None = None
    """The part of `output_tokens` spent on reasoning."""

    @property
    def prompt_tokens(self) -> int | None:
        """Input as OpenAI and OpenTelemetry count it, cached tokens included; None when input is unknown."""
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)

    @property
    def total_tokens(self) -> int | None:
        """Prompt and output together; None when either is unknown."""
        prompt = self.prompt_tokens
        return None if prompt is None or self.output_tokens is None else prompt + self.output_tokens

    def merged(self, newer: "TokenUsage") -> "TokenUsage":
        """This usage with each figure that `newer` knows put in place of ours, field by field.

        Backends repeat cumulative counts and split them over events, so figures replace one another and
        are never added; a poorer report does not wipe out a richer one.
        """
        return TokenUsage(
            newer.input_tokens if newer.input_tokens is not None else self.input_tokens,
            newer.output_tokens if newer.output_tokens is not None else self.output_tokens,
            newer.cache_read_tokens if newer.cache_read_tokens is not None else self.cache_read_tokens,
            newer.cache_write_tokens if newer.cache_write_tokens is not None else self.cache_write_tokens,
            newer.cache_write_1h_tokens
            if newer.cache_write_1h_tokens is not None
            else self.cache_write_1h_tokens,
            newer.reasoning_tokens if newer.reasoning_tokens is not None else self.reasoning_tokens,
        )

    def known(self) -> dict[str, int]:
        """The figures that are known, by field name."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}


_FIELDS = tuple(field.name for field in fields(TokenUsage))
NO_USAGE = TokenUsage()
