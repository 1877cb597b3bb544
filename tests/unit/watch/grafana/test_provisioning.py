"""Dashboards as files: each in its folder's directory, with the two files that tell Grafana of them."""

import json
from pathlib import PurePosixPath

import yaml  # type: ignore[import-untyped]  # its stubs are not among our tools

from harness.watched import WORLD
from watch.grafana.boards import boards
from watch.grafana.dashboards import encode
from watch.grafana.drawing import Places
from watch.grafana.provisioning import MOUNTED_AT, files
from watch.limits import Limits

BOARDS = boards(WORLD, Limits())
PLACES = Places(None)


def test_every_dashboard_is_in_a_directory_that_a_provider_reads_into_its_folder() -> None:
    written = files(BOARDS, PLACES, region="eu-west-1")
    told = yaml.safe_load(written["dashboards/llm-platform.yaml"])
    directories = {one["options"]["path"]: (one["folder"], one["folderUid"]) for one in told["providers"]}
    found = {}
    for path, content in written.items():
        if path.endswith(".json"):
            dashboard = json.loads(content)
            found[dashboard["uid"]] = directories[f"{MOUNTED_AT}/{PurePosixPath(path).parent}"]
            assert dashboard == encode(next(b for b in BOARDS if b.uid == dashboard["uid"]), PLACES)
    assert found == {board.uid: (board.folder.title, board.folder.uid) for board in BOARDS}
    assert len({one["name"] for one in told["providers"]}) == len(directories)


def test_cloudwatch_is_aws_unless_it_is_said_to_be_elsewhere() -> None:
    aws = yaml.safe_load(files(BOARDS, PLACES, region="eu-west-1")["datasources/llm-platform.yaml"])
    (source,) = aws["datasources"]
    assert source["type"] == "cloudwatch"
    assert source["jsonData"] == {"authType": "default", "defaultRegion": "eu-west-1"}
    assert "secureJsonData" not in source

    sandbox = "http://sandbox:4566"
    there = files(BOARDS, PLACES, region="us-east-1", endpoint=sandbox)["datasources/llm-platform.yaml"]
    (source,) = yaml.safe_load(there)["datasources"]
    assert source["jsonData"]["endpoint"] == sandbox
    assert source["secureJsonData"] == {
        "accessKey": "$AWS_ACCESS_KEY_ID",
        "secretKey": "$AWS_SECRET_ACCESS_KEY",
    }
