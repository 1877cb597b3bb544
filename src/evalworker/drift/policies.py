"""Every tenant's policy from Parameter Store, for a job that goes through all of them.

API keys stay encrypted: a job has no use for them, and its role need not be allowed to read them.
"""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from llmplatform import ids
from llmplatform.aws.parameters import EVAL_SAMPLE_RATE, POLICY, PREFIX
from llmplatform.errors import ConfigFault
from llmplatform.policy import TenantPolicy, parse_policy

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

logger = logging.getLogger(__name__)


async def read_policies(ssm: "SSMClient", *, prefix: str = PREFIX) -> tuple[TenantPolicy, ...]:
    """The policies of all tenants by name; one that does not parse is logged and left out.

    What Parameter Store raises, passes.
    """
    documents: defaultdict[ids.TenantId, dict[str, str]] = defaultdict(dict)
    paginator = ssm.get_paginator("get_parameters_by_path")
    async for page in paginator.paginate(Path=prefix, Recursive=True, WithDecryption=False):
        for parameter in page["Parameters"]:
            owner, _, name = parameter["Name"].removeprefix(f"{prefix}/").partition("/")
            tenant = ids.tenant_id(owner)
            if tenant is not None:
                documents[tenant][name] = parameter["Value"]
    found = []
    for tenant, own in sorted(documents.items()):
        try:
            found.append(parse_policy(tenant, own.get(POLICY, ""), own.get(EVAL_SAMPLE_RATE)))
        except ConfigFault as fault:
            logger.error("no drift for a tenant: %s", fault)  # noqa: TRY400  # what is wrong is in the message
    return tuple(found)
