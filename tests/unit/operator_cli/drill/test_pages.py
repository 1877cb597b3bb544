from operator_cli.drill import pages

ALARM = "llm-platform/endpoint/large/AllTraffic/gpu-failing"
PATH = "/alarms/llm-platform%2Fendpoint%2Flarge%2FAllTraffic%2Fgpu-failing"
OVERVIEW = f"""
<ul><li><a href="{PATH}">elsewhere on the page</a></li></ul>
<section class="ringing" aria-labelledby="ringing">
<ul class="alarms">
  <li><span>warning</span> <a href="/alarms/llm-platform%2Fother">Another</a></li>
  <li><span class="badge">critical</span> <a href="{PATH}">GPUs are under pressure &amp; failing</a>
    <span class="mono">endpoint/large/AllTraffic</span></li>
</ul>
</section>
"""


def test_the_ringing_part_says_what_rings() -> None:
    line = "critical GPUs are under pressure & failing endpoint/large/AllTraffic"
    assert pages.ringing_line(OVERVIEW, ALARM) == line


def test_a_link_outside_the_ringing_part_is_not_ringing() -> None:
    quiet = OVERVIEW.replace('class="ringing"', 'class="told"')
    assert pages.ringing_line(quiet, ALARM) is None


def test_an_alarm_whose_name_begins_alike_is_another() -> None:
    assert pages.ringing_line(OVERVIEW, f"{ALARM}.notice") is None
    assert pages.ringing_line(OVERVIEW, ALARM.removesuffix("-failing")) is None


def test_the_table_of_alarms_says_it_too() -> None:
    row = f'<tr><td>ALARM</td><td><a href="/alarms/{ALARM}">GPUs</a></td></tr>'
    html = f"<table><tr><th>State</th></tr>{row}</table>"
    assert pages.table_line(html, ALARM) == "ALARM GPUs"
    assert pages.table_line(html, "llm-platform/platform/policy-age") is None


def test_an_alarms_own_page_has_facts_and_links() -> None:
    facts = '<dl class="facts"><div><dt>State</dt><dd>ALARM</dd></div></dl>'
    button = '<a class="button" href="/endpoints/large?from=a&amp;to=b">See</a>'
    html = f'{facts}{button}<a href="/">no button</a>'
    assert pages.facts_line(html) == "State ALARM"
    assert pages.links_in(html, under="button") == ("/endpoints/large?from=a&to=b",)


def test_another_page_has_no_facts() -> None:
    assert pages.facts_line("<h1>Sign in</h1>") is None
