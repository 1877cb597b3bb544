"""A tool that a request forces, as a grammar: all that the model can say is an input of that tool.

That makes even a model that is too small to choose a tool call one, always in form. Pure.
"""

from dataclasses import dataclass
from typing import Any, Final

from sandbox.engines.engine import GenerationRequest

# Words and not only a length: left to any characters, a model of this size counts ("1.1.1.1.") to the end,
# and each of those is a token; words of this length are about fifteen.
SHORT_TEXT: Final = "^[A-Z][a-z ,']{8,58}[.]$"
_BOUNDS: Final = frozenset({"maxLength", "pattern", "enum", "const", "format"})


@dataclass(frozen=True, slots=True)
class ForcedTool:
    """The tool and the schema of its input."""

    name: str
    schema: dict[str, Any]

    @property
    def response_format(self) -> dict[str, Any]:
        """What llama.cpp makes a grammar of, which heeds `enum`, `minimum`, `maximum` and `maxLength`."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": bounded(self.schema)}}


def forced_tool(request: GenerationRequest) -> ForcedTool | None:
    """The one tool that the answer has to call, if it has to."""
    functions = [tool["function"] for tool in request.tools]
    match request.tool_choice:
        case "required" if len(functions) == 1:
            return ForcedTool(functions[0]["name"], functions[0]["parameters"])
        case {"type": "function", "function": {"name": str(name)}}:
            return next(
                (ForcedTool(name, one["parameters"]) for one in functions if one["name"] == name), None
            )
        case _:
            return None


def bounded(schema: Any) -> Any:
    """The schema with an end to each text that has none there: a small model does not find one by itself."""
    if isinstance(schema, list):
        return [bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    within = {name: bounded(part) for name, part in schema.items()}
    if schema.get("type") == "string" and not _BOUNDS & schema.keys():
        return {**within, "pattern": SHORT_TEXT}
    return within
