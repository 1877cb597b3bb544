"""The platform's parameters: tenants' policies by path, the documents of one tenant, the brakes on sampling.

Who may ask for a path is given all that is below it, encrypted values too, as ciphertext: Parameter Store
looks at the path alone (Systems Manager user guide, "How Parameter Store authorizes parameter retrieval").
What keeps the hashes of keys apart is `infra.permissions.keys.parameters`.
"""

from typing import Final

from infra.permissions.account import Account
from infra.permissions.statement import Statement
from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.aws.access import DOCUMENT
from llmplatform.aws.parameters import API_KEYS, EVAL_SAMPLE_RATE, POLICY
from llmplatform.erasure import ERASED

BRAKE_OF_LAG: Final = "lag"
BRAKE_OF_DAY: Final = "observability_budget"
BRAKE_OF_MONTH: Final = ACCOUNT_BUDGET
"""The reasons that name the brakes' parameters; each has one writer."""


def all_tenants(account: Account) -> Statement:
    """Every parameter of the platform at once."""
    return Statement("AllTenants", ("ssm:GetParametersByPath",), (account.parameter(),))


def one_tenant(account: Account) -> Statement:
    """The documents of one tenant, by name: for a key that is newer than the last reading."""
    names = (POLICY, EVAL_SAMPLE_RATE, API_KEYS)
    return Statement(
        "OneTenant",
        ("ssm:GetParameters",),
        tuple(account.parameter(f"*/{name}") for name in names),
        because="tenants come and go, and each has a path of its own; the documents are named",
    )


def roles(account: Account) -> Statement:
    """The document with the keys of the roles that see all tenants."""
    return Statement("RolesKeys", ("ssm:GetParameters",), (account.parameter(DOCUMENT),))


def brake(account: Account, reason: str) -> Statement:
    """One brake on sampling: what was set, and setting it."""
    return Statement(
        "Brake",
        ("ssm:GetParameters", "ssm:PutParameter"),
        (account.parameter(f"_platform/sampling_factor/{reason}"),),
    )


def tombstones(account: Account) -> Statement:
    """Which tenants were erased."""
    return Statement("Tombstones", ("ssm:GetParametersByPath",), (account.parameter(ERASED),))
