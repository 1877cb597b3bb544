"""`python -m infra.matrix`: who may do what to which data, from the templates into docs/security.md."""

import sys
from collections.abc import Sequence
from typing import Final

from aws_cdk import App

from infra.app import Platform
from infra.document import replaced
from infra.layers import PREFIX
from infra.permissions.account import Account
from infra.policy import Grant, allows, policies_of, roles_of
from infra.resolved import Resolved
from infra.roles import PROCESSES
from infra.settings import FOLDER, Deployment, named_deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.who_may_what import Row, rows

DOCUMENT: Final = FOLDER.parent / "docs" / "security.md"
PART: Final = "matrix"
PEOPLE: Final = ("tenants", "erasure")
_LEGEND: Final = (
    "r: read · w: write · d: delete · i: invoke · s: seal, without being able to open · o: open. After the "
    "processes come the policies for people (`tenants`, `erasure`) and the roles of AWS's services that may "
    "do any of it."
)
_NOTHING: Final = "–"


def identity_of(deployment: Deployment) -> Resolved:
    """The templates of a deployment's data and identity alone: what its processes' roles are told by."""
    app = App()
    IdentityStack(app, deployment, data=DataStack(app, deployment))
    return Resolved.of(app)


def resolved_of(platform: Platform) -> Resolved:
    """The templates of all stacks, in which other services' roles are too."""
    return Resolved.of(platform.data.node.root)


def matrix(platform: Platform, deployment: Deployment) -> str:
    """The table, in Markdown."""
    resolved = resolved_of(platform)
    roles, people = roles_of(resolved), policies_of(resolved)
    ours: dict[str, Sequence[Grant]] = {process: roles.pop(f"{PREFIX}-{process}") for process in PROCESSES}
    ours |= {name: people[f"{PREFIX}-{name}"] for name in PEOPLE}
    asked = list(rows(Account(deployment, {})))
    columns = {name: _column(asked, grants) for name, grants in ours.items()}
    for name, grants in sorted(roles.items()):
        column = _column(asked, grants)
        if set(column) != {_NOTHING}:
            columns[name.removeprefix(f"{PREFIX}-")] = column
    lines = [
        ["data", "key", *columns],
        ["---", "---", *("---" for _ in columns)],
        *(
            [row.data, row.key, *(column[number] for column in columns.values())]
            for number, row in enumerate(asked)
        ),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_LEGEND}\n\n{table}"


def _column(asked: Sequence[Row], grants: Sequence[Grant]) -> list[str]:
    """What these statements let through, by row."""
    return [
        " ".join(
            verb
            for verb, ways in row.verbs.items()
            if any(all(allows(grants, one) for one in way) for way in ways)
        )
        or _NOTHING
        for row in asked
    ]


def main() -> None:
    """Write the table of production into the document."""
    deployment = named_deployment("prod")
    made = matrix(Platform(App(), deployment), deployment)
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(encoding="utf-8"), PART, made), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.name} has the matrix\n")


if __name__ == "__main__":
    main()
