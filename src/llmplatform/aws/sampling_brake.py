"""Publishes one writer's sampling brake in Parameter Store; gateways read it within a minute.

What factor to publish, and when, is the writer's own affair: the worker's for `lag`, the cost job's for
`observability_budget`.
"""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from llmplatform.aws.parameters import PREFIX
from llmplatform.sampling import SamplingBrake

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient


class BrakeParameter:
    """The parameter of one reason, through an open client."""

    def __init__(self, ssm: "SSMClient", reason: str, *, prefix: str = PREFIX) -> None:
        self._ssm = ssm
        self._name = f"{prefix.rstrip('/')}/_platform/sampling_factor/{reason}"

    async def read(self) -> SamplingBrake | None:
        """What is published now, expired or not; None where there is nothing that can be read."""
        answer = await self._ssm.get_parameters(Names=[self._name])
        for parameter in answer["Parameters"]:
            try:
                return SamplingBrake.model_validate_json(parameter["Value"])
            except ValidationError:
                return None
        return None

    async def publish(self, brake: SamplingBrake) -> None:
        """Put a brake in the place of what was there."""
        await self._ssm.put_parameter(
            Name=self._name, Value=brake.model_dump_json(), Type="String", Overwrite=True
        )
