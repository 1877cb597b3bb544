# ruff: noqa: S603 - git is started here, on the lines below
import subprocess
from importlib.metadata import version
from pathlib import Path

from operator_cli.version import version_line

OURS = f"llm-platform {version('llm-platform')}"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Someone", "-c", "user.email=someone@example.com")
    command = ("git", "-C", str(folder), *identity, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def checkout(folder: Path) -> str:
    """A repository with one commit; returns its id."""
    git(folder, "init", "--quiet")
    (folder / "file").write_text("one")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def test_the_image_says_what_it_was_built_from(tmp_path: Path) -> None:
    assert version_line({"LLM_PLATFORM_COMMIT": "abc"}, tmp_path) == f"{OURS}, commit abc"


def test_a_checkout_says_its_commit(tmp_path: Path) -> None:
    commit = checkout(tmp_path)
    assert version_line({}, tmp_path) == f"{OURS}, commit {commit}"


def test_a_changed_checkout_is_said_to_be(tmp_path: Path) -> None:
    commit = checkout(tmp_path)
    (tmp_path / "file").write_text("two")
    assert version_line({}, tmp_path) == f"{OURS}, commit {commit}-dirty"


def test_a_commit_that_nobody_knows_is_unknown(tmp_path: Path) -> None:
    assert version_line({"LLM_PLATFORM_COMMIT": ""}, tmp_path) == f"{OURS}, commit unknown"


def test_the_repository_around_an_installed_package_is_not_its_own(tmp_path: Path) -> None:
    checkout(tmp_path)
    within = tmp_path / "site-packages"
    within.mkdir()
    assert version_line({}, within) == f"{OURS}, commit unknown"
