"""Subjects and notifications fit into what SNS takes."""

from sandbox.inside_emulator.documents import MAX_SUBJECT, moment, subject


def test_a_long_name_is_cut_and_the_region_stays() -> None:
    told = subject({"AlarmName": "n" * 255, "StateValue": "INSUFFICIENT_DATA"}, "us-east-1")
    assert len(told) == MAX_SUBJECT
    assert told.startswith('INSUFFICIENT_DATA: "nnn')
    assert told.endswith('..." in US East (N. Virginia)')


def test_a_name_beyond_ascii_becomes_one_that_a_header_can_have() -> None:
    assert subject({"AlarmName": "zu langsam: größer", "StateValue": "OK"}, "xx") == (
        'OK: "zu langsam: gr_er" in xx'
    )


def test_times_have_milliseconds_and_an_offset_without_a_colon() -> None:
    assert moment(1_795_953_605.25) == "2026-11-29T12:00:05.250+0000"
