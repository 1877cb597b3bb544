"""What the import contracts in pyproject.toml cannot say of themselves: that they forget no room."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
IMPURE = {
    "clock": "the one place that asks for the time",
    "erasure": "writes to Parameter Store",
    "settings": "reads the environment",
    "tenants": "writes to Parameter Store and mints keys",
}


def test_every_agreement_is_held_to_purity_or_named_as_an_exception() -> None:
    (pure,) = (contract for contract in CONTRACTS if contract["name"].startswith("Pure rooms"))
    listed = {name.split(".")[1] for name in pure["source_modules"] if name.startswith("llmplatform.")}
    there = {path.stem for path in (ROOT / "src/llmplatform").glob("[!_]*.py")}
    assert there - listed == set(IMPURE)
    assert listed <= there
