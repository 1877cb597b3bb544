"""A model's chat template, rendered as transformers renders it: the text that the model reads.

Templates come with a model and are code: they run in jinja2's immutable sandbox, with the helpers that
transformers gives them and no others.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import msgspec

from gateway.chat import ChatRequest, Message
from gateway.tokenizers.tokenizer import message_text, tool_schema
from llmplatform.errors import ConfigFault

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TemplateRefused(Exception):
    """The template does not take this conversation: roles in an order that it forbids, say."""


class ChatTemplate:
    """A template and the special tokens that it is given."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._template = _environment().from_string(source)
        self._special_tokens = dict(special_tokens)

    def render(self, request: ChatRequest) -> str:
        """The conversation up to where the model begins to write.

        Raises TemplateRefused when the template rejects it; the message quotes nothing of it.
        """
        try:
            return self._template.render(
                messages=[_message(message) for message in request.messages],
                tools=[tool_schema(tool) for tool in request.tools] or None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        # A template is code of others: whatever it raises means the same.
        except Exception as error:  # noqa: BLE001
            raise TemplateRefused(type(error).__name__) from None


def load_template(folder: Path) -> ChatTemplate | None:
    """The template in `chat_template.jinja` or `tokenizer_config.json`; None when the model has none.

    Raises ConfigFault when it cannot be read or is no jinja2.
    """
    config: Any = {}
    try:
        if (config_file := folder / "tokenizer_config.json").exists():
            config = msgspec.json.decode(config_file.read_bytes())
        source = (
            template_file.read_text(encoding="utf-8")
            if (template_file := folder / "chat_template.jinja").exists()
            else _default(config.get("chat_template"))
        )
        return None if source is None else ChatTemplate(source, _special_tokens(config))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigFault(f"tokenizer_config.json in {folder} cannot be read: {error}") from error
    except jinja2.TemplateError as error:
        raise ConfigFault(f"chat template in {folder} cannot be compiled: {error}") from error


def _default(template: Any) -> str | None:
    """The one template, or the one named `default` among several."""
    if template is None or isinstance(template, str):
        return template
    return str(next(entry["template"] for entry in template if entry["name"] == "default"))


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found = {name: config.get(name) for name in _SPECIAL_TOKENS}
    return {
        name: str(token["content"] if isinstance(token, dict) else token)
        for name, token in found.items()
        if token is not None
    }


def _message(message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": message.role, "content": message_text(message)}
    if message.name is not None:
        entry["name"] = message.name
    if message.tool_call_id is not None:
        entry["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return entry


def _arguments(text: str) -> Any:
    """Templates write the arguments as JSON themselves, so they get the object."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


class _GenerationBlocks(jinja2.ext.Extension):
    """`{% generation %}` marks what the model wrote, for training; here its body is all that matters."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlocks, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - the signature that templates are written against
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - likewise
) -> str:
    pair = None if separators is None else (separators[0], separators[1])
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now(UTC).strftime(pattern)
