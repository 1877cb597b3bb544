from pathlib import Path

import pytest

from infra.settings import FOLDER, read_deployment
from llmplatform.errors import ConfigFault


def changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (FOLDER / f"{name}.toml").read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_deployments_that_come_with_it_are_whole(name: str) -> None:
    assert read_deployment(FOLDER / f"{name}.toml").name == name


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('account = "111111111111"', 'account = "1234"', "account"),
        ('image_tag = "0.1.0"', 'image_tag = "latest"', "image_tag"),
        ("deletable = false", "deletable = true", "deletable"),
        (', "us-east-1c"]', "]", "availability_zones"),
        ('"us-east-1c"]', '"us-west-2c"]', "availability_zones: us-west-2c"),
        ('"us-east-1c"]', '"us-east-1b"]', "availability_zones: name each once"),
        ("[network]", '[network]\ncidr = "10.64.0.0/19"', r"network\.cidr: 10\.64\.0\.0/19 .* /16 and /18"),
        ("[network]", '[network]\ncidr = "10.0.0.0/8"', r"network\.cidr: 10\.0\.0\.0/8 .* /16 and /18"),
        ("least = 3", "least = 2", "gateway.least"),
        ("least = 3", "least = 30", "gateway: "),
        ("monthly_usd = 18000", "monthly_usd = 0", "budget.monthly_usd"),
        ("cpu = 2048", "cpus = 2048", "gateway.cpus"),
        (
            "memory_mib = 512",
            "memory_mib = 8192",
            r"billing_api\.memory_mib: .*cpu 256, but of 512, 1024, 2048",
        ),
        ("memory_mib = 4096", "memory_mib = 4000", r"gateway\.memory_mib: .* 4096, 5120, .* 16384"),
        ("memory_mib = 4096", "memory_mib = 3072", r"gateway\.memory_mib: .* of 4096, "),
        ('slack_channel_id = "C00000000"', "", "slack_channel_id"),
        ("llm-platform-receivers/", "llm-platform/_platform/", "receivers.pagerduty_parameter: .*below"),
        ('exposure = "internal"', 'exposure = "internet"', "network: .*transit_gateway_id"),
        ('clients = ["10.0.0.0/8"]', 'clients = ["0.0.0.0/0"]', "network: .*clients"),
        ('clients = ["10.0.0.0/8"]', "clients = []", "network.clients"),
        ('addresses = ["10.20.0.0/24"]', 'addresses = ["8.8.8.0/24"]', r"oidc\.addresses: .*8\.8\.8\.0/24"),
        ("[gateway]", '[files]\ncatalogue = "none.toml"\n[gateway]', "files.catalogue"),
        ("[gateway]", "[files]\ncatalogue = 3\n[gateway]", "files.catalogue"),
        ('name = "prod"', 'name = "prod"\nfiles = 3', "files: "),
        ("prefix_lists", "endpoint_zones = 1\nprefix_lists", "network.endpoint_zones"),
        (
            "least = 3",
            'least = 3\nschedules = [{ cron = "0 20 * * ? *", least = 1, most = 9 }]',
            "gateway.schedules",
        ),
    ],
)
def test_a_field_at_fault_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(ConfigFault, match=named):
        read_deployment(changed(tmp_path, "prod", old, new))


@pytest.mark.parametrize(
    ("kind", "named"), [("catalogue", "catalogue: models"), ("prices", "prices: "), ("judges", "judges: ")]
)
def test_a_data_file_that_the_processes_would_refuse_is_refused(
    tmp_path: Path, kind: str, named: str
) -> None:
    (tmp_path / "own.toml").write_text("models = 3\njudges = 3\ntokens = 3\n")
    path = changed(tmp_path, "prod", "[gateway]", f'[files]\n{kind} = "own.toml"\n[gateway]')
    with pytest.raises(ConfigFault, match=f"files: .*{named}"):
        read_deployment(path)


def test_a_network_with_just_enough_room_will_do(tmp_path: Path) -> None:
    path = changed(tmp_path, "prod", "[network]", '[network]\ncidr = "10.64.0.0/18"')
    assert read_deployment(path).network.cidr.prefixlen == 18


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xf6")
    with pytest.raises(ConfigFault, match=r"own\.toml: 'utf-8'"):
        read_deployment(tmp_path / "own.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"none\.toml"):
        read_deployment(tmp_path / "none.toml")
