import pytest

from sandbox.engines.scripted import Script
from sandbox.faults import Refuse
from sandbox.refusals import Refusal
from sandbox.registry import Registry, Served


def test_a_script_is_found_under_arns_and_regions() -> None:
    registry = Registry()
    registry.scripts["anthropic.m"] = Script(text="mine")
    for name in (
        "anthropic.m",
        "eu.anthropic.m",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.m",
    ):
        assert registry.cast(name).script.text == "mine"
    assert registry.cast("anthropic.other").script == Script()


def test_a_name_with_smollm_is_the_real_model_unless_scripted() -> None:
    registry = Registry({"real": Served(engine="smollm"), "smollm-fake": Served(engine="scripted")})
    assert registry.cast("us.smollm2").engine is registry.smollm
    assert registry.cast("real").engine is registry.smollm
    assert registry.cast("smollm-fake").engine is not registry.smollm
    assert registry.cast("sandbox.smollm2-135m-judge-v1:0").engine is registry.smollm_judge
    registry.scripts["us.smollm2"] = Script()
    assert registry.cast("us.smollm2").engine is not registry.smollm


def test_the_container_is_the_scripts_then_the_callers_then_the_names() -> None:
    registry = Registry({"fixed-tgi": Served(container="lmi")})
    assert registry.cast("fixed-tgi").container == "lmi"
    registry.scripts["fixed-tgi"] = Script(container="openai")
    assert registry.cast("fixed-tgi").container == "openai"
    names = ("a-tgi", "a-lmi", "a-lmi-chat", "a")
    assert [registry.cast(name).container for name in names] == ["tgi", "lmi", "lmi_chat", "openai"]


def test_calls_are_counted_from_when_the_script_was_set() -> None:
    registry = Registry()
    script = Script(faults=(Refuse(status=429, error_type="ThrottlingException", times=1),))
    for _ in range(2):
        registry.scripts["m"] = script
        with pytest.raises(Refusal):
            registry.cast("m").demand_accepted()
        registry.cast("m").demand_accepted()
