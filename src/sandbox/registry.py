"""Which engine answers for a model id or an endpoint name, by which script, in which container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Literal

from sandbox.engines.engine import ContainerName, Engine
from sandbox.engines.scripted import Script, ScriptedEngine
from sandbox.engines.smollm import SmolLM
from sandbox.faults import AnyFault, Refuse
from sandbox.refusals import Refusal

EngineName = Literal["scripted", "smollm", "smollm-judge"]

# All that the model was trained for: a judge's rubric alone takes a thousand tokens.
JUDGE_CONTEXT_TOKENS = 8192

_REGIONAL_PREFIXES = ("us.", "eu.", "apac.", "global.", "us-gov.")
_CONTAINERS_BY_NAME: tuple[tuple[str, ContainerName], ...] = (
    ("lmi-chat", "lmi_chat"),
    ("lmi", "lmi"),
    ("tgi", "tgi"),
)


@dataclass(frozen=True, slots=True)
class Served:
    """What a caller of the runtime may fix for a name; None goes by the name itself."""

    engine: EngineName | None = None
    container: ContainerName | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays in one call."""

    engine: Engine
    container: ContainerName
    script: Script
    faults: tuple[AnyFault, ...]

    def demand_accepted(self) -> None:
        """Return unless the script refuses this call. Raises Refusal, as scripted."""
        for fault in self.faults:
            if isinstance(fault, Refuse):
                raise Refusal(
                    fault.status,
                    fault.error_type,
                    fault.message,
                    fields=fault.fields,
                    headers=fault.headers,
                )


class Scripts(MutableMapping[str, Script]):
    """Scripts by name; setting one begins its count of calls anew."""

    def __init__(self) -> None:
        self._engines: dict[str, ScriptedEngine] = {}
        self._calls: Counter[str] = Counter()

    def __getitem__(self, name: str) -> Script:
        """Return the script of a name."""
        return self._engines[name].script

    def __setitem__(self, name: str, script: Script) -> None:
        """Register a script."""
        self._engines[name] = ScriptedEngine(script)
        del self._calls[name]

    def __delitem__(self, name: str) -> None:
        """Forget a script."""
        del self._engines[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._engines)

    def __len__(self) -> int:
        """Count the scripts."""
        return len(self._engines)

    def engine(self, name: str) -> tuple[ScriptedEngine, int] | None:
        """The name's engine and the number of this call to it, from 1; None without a script."""
        engine = self._engines.get(name)
        if engine is None:
            return None
        self._calls[name] += 1
        return engine, self._calls[name]


class Registry:
    """Names to engines: a registered script first, then what the caller fixed, then the name itself."""

    def __init__(self, served: Mapping[str, Served] | None = None) -> None:
        self.scripts = Scripts()
        self.smollm = SmolLM()
        # A model of its own, so that no chat waits for a judgement; loaded by the first one.
        self.smollm_judge = SmolLM(
            context_tokens=JUDGE_CONTEXT_TOKENS, in_background=True, reuses_prompts=True
        )
        self._served = dict(served or {})
        self._default = ScriptedEngine(Script())

    def cast(self, name: str) -> Cast:
        """Choose who answers this call; a scripted name's calls are counted here."""
        names = list(_names(name))
        served = next((self._served[known] for known in names if known in self._served), Served())
        for known in names:
            if (found := self.scripts.engine(known)) is not None:
                engine, call_number = found
                script = engine.script
                container = script.container or served.container or _container_by_name(name)
                return Cast(engine, container, script, script.in_force(call_number))
        container = served.container or _container_by_name(name)
        return Cast(self._engine(served.engine or _engine_by_name(name)), container, Script(), ())

    def close(self) -> None:
        """Let the models go; answers that are still running end first."""
        self.smollm.close()
        self.smollm_judge.close()

    def _engine(self, name: EngineName) -> Engine:
        match name:
            case "scripted":
                return self._default
            case "smollm":
                return self.smollm
            case "smollm-judge":
                return self.smollm_judge


def _names(name: str) -> Iterator[str]:
    """The names that a script may be under: as called, an ARN's last part, without its region."""
    yield name
    last = name.rpartition("/")[2]
    if last != name:
        yield last
    for prefix in _REGIONAL_PREFIXES:
        if last.startswith(prefix):
            yield last.removeprefix(prefix)


def _engine_by_name(name: str) -> EngineName:
    if "smollm" not in name:
        return "scripted"
    return "smollm-judge" if "judge" in name else "smollm"


def _container_by_name(name: str) -> ContainerName:
    return next((container for part, container in _CONTAINERS_BY_NAME if part in name), "openai")
