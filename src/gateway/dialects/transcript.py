"""A conversation as one prompt, for containers that take text instead of messages (LMI's own schema, TGI).

Such a container applies no chat template, so the gateway must. The formats below are those of the models'
own templates; the catalogue names one per model (`additional_request_fields.prompt_format`). As with those
templates, markers inside a client's text are not escaped. No format begins with the begin-of-text token: the
container's tokenizer adds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.chat import Message, TextPart
from llmplatform.errors import ConfigFault


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How turns are written one after another, and how the model is invited to speak."""

    before: Mapping[str, str]
    after: str
    stop: tuple[str, ...] = ()
    """What the model writes when its turn is over, where its end-of-text token is another one."""


def _tagged(before: str, after: str, stop: tuple[str, ...] = ()) -> PromptFormat:
    return PromptFormat(
        {role: before.format(role=role) for role in ("system", "user", "assistant")}, after, stop
    )


PROMPT_FORMATS: Final[Mapping[str, PromptFormat]] = {
    "plain": PromptFormat(
        {"system": "", "user": "User: ", "assistant": "Assistant: "}, "\n\n", ("\n\nUser:",)
    ),
    "chatml": _tagged("<|im_start|>{role}\n", "<|im_end|>\n", ("<|im_end|>",)),
    "llama3": _tagged("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", ("<|eot_id|>",)),
}


def prompt_format(name: object) -> PromptFormat:
    """The format of that name; None is `plain`. Raises ConfigFault for a name that is not known."""
    found = PROMPT_FORMATS.get("plain" if name is None else str(name))
    if found is None:
        raise ConfigFault(f"prompt_format {name!r} is not one of {', '.join(sorted(PROMPT_FORMATS))}")
    return found


def render_transcript(messages: Sequence[Message], style: PromptFormat) -> str:
    """The prompt that makes the model write the next assistant turn. Images are not rendered: refuse them."""
    turns = [
        f"{style.before[message.role]}"
        f"{''.join(part.text for part in message.parts if isinstance(part, TextPart))}{style.after}"
        for message in messages
        if message.role != "tool"
    ]
    return "".join(turns) + style.before["assistant"].rstrip(" ")
