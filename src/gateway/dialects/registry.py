"""All dialects, by the name that the catalogue gives them."""

from collections.abc import Mapping
from typing import Final

from gateway.dialects.converse import ConverseDialect
from gateway.dialects.dialect import Dialect
from gateway.dialects.lmi import LmiDialect
from gateway.dialects.openai_chat import OpenAiChatDialect
from gateway.dialects.tgi import TgiDialect
from llmplatform.catalogue import DialectName

DIALECTS: Final[Mapping[DialectName, Dialect]] = {
    "converse": ConverseDialect(),
    "openai_chat": OpenAiChatDialect(),
    "lmi": LmiDialect(),
    "tgi": TgiDialect(),
}
"""Dialects keep nothing between requests, so one of each serves all."""
