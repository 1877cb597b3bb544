"""Starting: an hourly run waits for nothing that other commands need."""

import subprocess
import sys


def test_commands_bring_what_they_need_and_no_more() -> None:
    told = "import costagg.__main__, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", told], text=True)  # noqa: S603  # this interpreter
    assert not {"duckdb", "fastapi", "pyarrow", "uvicorn"} & set(loaded.split())
