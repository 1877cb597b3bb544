"""What every process's settings share: read once, frozen, and no misspelt variable goes unnoticed."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from llmplatform.errors import ConfigFault


def refuse_unknown(settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
    """Raise ConfigFault for a variable with the settings' prefix that no field reads.

    The settings library ignores such a variable, so that a misspelt limit would silently be the default.
    """
    prefix = settings.model_config.get("env_prefix", "").upper()
    known = {f"{prefix}{name}".upper() for name in settings.model_fields}
    ours = (name for name in environ if name.upper().startswith(prefix))
    unknown = sorted(name for name in ours if name.upper() not in known)
    if prefix and unknown:
        raise ConfigFault(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def describe(error: ValidationError, prefix: str) -> ConfigFault:
    """The fault that names each variable at fault, without its value."""
    problems = "; ".join(
        f"{prefix}{'_'.join(map(str, problem['loc']))}".upper() + f": {problem['msg']}"
        for problem in error.errors()
    )
    return ConfigFault(f"settings: {problems}")
