"""The dashboards as files, for a Grafana that reads its provisioning folder: JSON, and two YAML files.

For Amazon Managed Grafana, which has no such folder, it is `applying`. Pure: the command writes the files.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

import orjson

from watch.grafana.cells import Board, uid_of
from watch.grafana.dashboards import encode
from watch.grafana.drawing import Places

DASHBOARDS: Final = PurePosixPath("dashboards")
MOUNTED_AT: Final = "/etc/grafana/provisioning"
"""Where Grafana's image looks; the exported folder is mounted there."""


def files(
    boards: Iterable[Board], places: Places, *, region: str, endpoint: str | None = None
) -> Mapping[str, bytes]:
    """Every file by its path: `dashboards/json/<folder>/<dashboard>.json`, providers and data sources.

    `endpoint` is where CloudWatch and its logs answer, if that is not AWS: the sandbox's.
    """
    written: dict[str, bytes] = {}
    folders: dict[str, tuple[str, str]] = {}
    for board in boards:
        name = board.folder.key.replace("/", "-")
        folders[name] = (board.folder.title, board.folder.uid)
        path = DASHBOARDS / "json" / name / f"{board.key.replace('/', '-')}.json"
        written[str(path)] = orjson.dumps(encode(board, places), option=orjson.OPT_INDENT_2)
    written["dashboards/llm-platform.yaml"] = _providers(folders).encode()
    written["datasources/llm-platform.yaml"] = _data_sources(region, endpoint).encode()
    return written


def _providers(folders: Mapping[str, tuple[str, str]]) -> str:
    providers = "".join(
        f"""  - name: {_quoted(f"llm-platform-{name}")}
    type: file
    folder: {_quoted(title)}
    folderUid: {_quoted(uid)}
    allowUiUpdates: false
    options:
      path: {_quoted(f"{MOUNTED_AT}/{DASHBOARDS}/json/{name}")}
"""
        for name, (title, uid) in folders.items()
    )
    return f"apiVersion: 1\nproviders:\n{providers}"


def _data_sources(region: str, endpoint: str | None) -> str:
    """CloudWatch alone: the other data sources are plug-ins that a stock Grafana does not have."""
    elsewhere = f"      endpoint: {_quoted(endpoint)}\n" if endpoint else ""
    keys = (
        """    secureJsonData:
      accessKey: $AWS_ACCESS_KEY_ID
      secretKey: $AWS_SECRET_ACCESS_KEY
"""
        if endpoint
        else ""
    )
    return f"""apiVersion: 1
datasources:
  - name: CloudWatch
    uid: {uid_of("datasource/cloudwatch")}
    type: cloudwatch
    isDefault: true
    jsonData:
      authType: {"keys" if endpoint else "default"}
      defaultRegion: {_quoted(region)}
{elsewhere}{keys}"""


def _quoted(text: str) -> str:
    """A text as YAML writes it in double quotes, which is JSON's way."""
    return orjson.dumps(text).decode()
