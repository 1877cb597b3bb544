from datetime import UTC, datetime

import msgspec
import pytest

from sandbox.hardware import CALLS_THAT_FILL_AN_INSTANCE, Hardware, Load, instance_id


def test_an_idle_machine_shows_little_and_never_nothing() -> None:
    figures = Hardware().figures(0.0)
    assert 0 < figures["GPUUtilization"] < 10
    assert set(figures) == {
        "GPUUtilization",
        "GPUMemoryUtilization",
        "CPUUtilization",
        "MemoryUtilization",
        "DiskUtilization",
    }


def test_gpu_figures_are_summed_over_gpus_and_others_are_not() -> None:
    one, four = Hardware(gpu_count=1).figures(2.0), Hardware(gpu_count=4).figures(2.0)
    for name, figure in one.items():
        times = 4 if name.startswith("GPU") else 1
        assert four[name] == pytest.approx(times * figure), name


def test_a_machine_without_gpus_has_no_figures_of_them() -> None:
    assert not any(name.startswith("GPU") for name in Hardware(gpu_count=0).figures(1.0))


def test_load_shows_and_a_full_machine_shows_no_more_than_that() -> None:
    idle, half, full, over = (
        Hardware().figures(calls)["GPUUtilization"]
        for calls in (0, CALLS_THAT_FILL_AN_INSTANCE / 2, CALLS_THAT_FILL_AN_INSTANCE, 100)
    )
    assert idle < half < full == over
    assert full < 90  # nobody is called to a machine that only works


def test_what_a_script_says_stands_whatever_the_load() -> None:
    hardware = Hardware(gpu_count=4, gpu_utilization=0.0, disk_utilization=97.0)
    assert hardware.figures(100)["GPUUtilization"] == 0
    assert hardware.figures(0)["DiskUtilization"] == 97


def test_only_the_named_fields_change_and_null_follows_the_load_again() -> None:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    before = Hardware(instances=2, gpu_count=4, created_at=made, variant="main", enhanced=True)
    hot = before.changed(b'{"gpu_utilization": 392.0}')
    assert hot == msgspec.structs.replace(before, gpu_utilization=392.0)
    assert hot.changed(b'{"gpu_utilization": null}') == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"gpu_utilisation": 9}', "gpu_utilisation"),
        (b'{"gpu_utilization": 101}', "gpu_utilization is at most 100"),
        (b'{"gpu_memory_utilization": -1}', "gpu_memory_utilization"),
        (b'{"disk_utilization": 101}', "disk_utilization"),
        (b'{"memory_utilization": "full"}', "memory_utilization"),
        (b'{"instances": -1}', "instances"),
        (b"[1]", "object"),
        (b"{", "truncated"),
    ],
)
def test_a_change_that_makes_no_sense_says_which_field(content: bytes, said: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=said):
        Hardware().changed(content)


def test_fewer_gpus_than_a_script_uses_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError, match="at most 100"):
        Hardware(gpu_count=4, gpu_utilization=380.0).changed(b'{"gpu_count": 1}')


def test_the_mean_load_is_weighed_by_time_and_begins_anew_when_taken() -> None:
    load = Load(100.0)
    load.begin(110.0)
    load.begin(115.0)
    load.end(120.0)
    assert load.take_mean(120.0) == pytest.approx((5 * 1 + 5 * 2) / 20)
    assert load.take_mean(130.0) == pytest.approx(1.0)
    load.end(130.0)
    assert load.take_mean(140.0) == 0
    assert load.take_mean(140.0) == 0


def test_the_peak_begins_anew_with_what_is_in_flight() -> None:
    load = Load(0.0)
    for _ in range(3):
        load.begin(1.0)
    load.end(2.0)
    load.end(2.0)
    assert [load.take_peak(), load.take_peak()] == [3, 1]
    load.end(3.0)
    load.end(3.0)  # of a call that began before anybody counted
    assert (load.take_peak(), load.in_flight) == (1, 0)


def test_an_instance_has_the_same_id_in_every_run_and_no_others() -> None:
    assert instance_id("e", "v", 0) == instance_id("e", "v", 0)
    ids = {instance_id(endpoint, "v", number) for endpoint in ("e", "f") for number in range(3)}
    assert len(ids) == 6
    assert all(one.startswith("i-") and len(one) == 19 for one in ids)
