"""The page, the targets and the charts, from made-up figures."""

import xml.etree.ElementTree as ET
from types import MappingProxyType

from bench import report, svg, targets
from bench.results import Contestant, Outcome

FIGURES = {"rps": 1e5, "p50_ms": 0.2, "p99_ms": 1.0, "pss_mb": 20.0, "failures": 0}


def outcome(scenario="get-1-header", **cpu_us):
    found = Outcome(scenario, "2026-01-02", "CPython 3.13.0", "a machine", 5, 2)
    for key, value in cpu_us.items():
        found.contestants.append(Contestant(key, key, "1.0", "2026-01-02", FIGURES | {"cpu_us": value}))
    return found


def one(**cpu_us):
    return {"get-1-header": outcome(**cpu_us)}


def verdicts(outcomes, scenario="get-1-header", facts=MappingProxyType({})):
    return {v.target.against: v for v in targets.judge(outcomes, facts) if v.target.scenario == scenario}


def test_targets_are_judged_by_the_figures():
    found = verdicts(one(tricorn=6.5, floor=5.0))
    assert found["floor"].words == "reached"
    assert found["floor"].measured == 1.3
    assert found[targets.BEST].words == "not measured"
    fresh = {"new-connection": outcome("new-connection", tricorn=9.0, granian=9.0, fastwsgi=10.0)}
    found = verdicts(fresh, "new-connection")
    assert found["granian"].words == "**missed**"  # "less than" is not "as much as"
    assert found["fastwsgi"].words == "reached"


def test_the_access_log_target_is_a_difference():
    log = outcome("access-log", **{"tricorn (log off)": 6.0, "tricorn (log on)": 9.0})
    (found,) = verdicts({"access-log": log}, "access-log").values()
    assert (found.measured, found.reached) == (3.0, False)
    assert found.target.words == "CPU per request ≤ 2.5 µs more than tricorn (log off)"


def test_the_best_peer_is_the_best_that_was_measured():
    outcomes = {"asgi-get-1-header": outcome("asgi-get-1-header", tricorn=9.0, granian=18.0, gunicorn=30.0)}
    outcomes["asgi-get-1-header"].contestants.append(
        Contestant("uvicorn", "uvicorn", "1", "2026-01-02", {"cpu_us": 1.0}, problem="died")
    )
    found = verdicts(outcomes, "asgi-get-1-header")
    assert found["the best of Uvicorn, Granian and Gunicorn"].measured == 0.5
    assert found["uvloop floor"].words == "not measured"


def test_a_peer_that_does_not_answer_is_not_the_best():
    found = one(tricorn=8.0, bjoern=4.0, granian=10.0)
    found["get-1-header"].find("bjoern").values["failures"] = 20_000  # of a million
    assert verdicts(found)[targets.BEST].measured == 0.8
    assert "| **tricorn** | 8.00 | \N{EN DASH} | 0.80 |" in report.page(found)
    found["get-1-header"].find("bjoern").values["failures"] = 3
    assert verdicts(found)[targets.BEST].measured == 2


def test_a_target_may_be_against_those_that_call_close():
    found = {"flask-constant": outcome("flask-constant", tricorn=80.0, fastwsgi=60.0, granian=100.0)}
    facts = {"fastwsgi": {"close": "no"}, "granian": {"close": "yes"}}
    assert verdicts(found, "flask-constant", facts)[targets.CLOSING].measured == 0.8
    assert verdicts(found, "flask-constant")[targets.CLOSING].words == "not measured"


def test_what_the_servers_do_stands_below_their_figures():
    facts = {"freastal": {"close": "no", "strings": "REMOTE_PORT: int", "date": "yes"}}
    page = report.page(one(tricorn=8.0), report.Background(facts=facts))
    row = next(line for line in page.splitlines() if line.startswith("| freastal |"))
    assert row.startswith("| freastal | **no** | REMOTE_PORT: int |")
    assert page.index("CPU µs per request") < page.index(row)


def test_instructions_stand_beside_the_processor_time():
    known = report.Background(instructions={"CPython 3.13.0": {"tricorn": {"get-1-header": 15_000}}})
    assert "| **tricorn** | 8.00 | 2.00 | \N{EN DASH} | 15,000 |" in report.page(
        one(tricorn=8.0, floor=4.0), known
    )


def test_a_constant_rate_shows_the_far_percentiles():
    found = outcome("flask-constant", tricorn=80.0)
    found.contestants[0].values |= {"p999_ms": 3.25, "max_ms": 7.5}
    page = report.page({"flask-constant": found})
    assert "| p99.9 ms | longest ms |" in page
    assert "| 0.20 | 1.00 | 3.25 | 7.50 | 20.0 | 0 |" in page


def test_the_two_interfaces_have_a_part_each():
    outcomes = one(tricorn=8.0, floor=4.0) | {
        "asgi-get-1-header": outcome(
            "asgi-get-1-header", **{"tricorn": 9.0, "uvloop floor": 4.5, "uvicorn": 18.0}
        )
    }
    wsgi, asgi = report.page(outcomes).split("\n## ASGI\n")
    assert "| **tricorn** | 8.00 | 2.00 |" in wsgi
    assert "| **tricorn** | 9.00 | 2.00 | 0.50 |" in asgi
    assert "uvicorn" not in wsgi[wsgi.index("\n## WSGI\n") :]
    assert "## ASGI" not in report.page(one(tricorn=8.0))


def test_messages_are_counted_as_messages():
    page = report.page({"asgi-websocket-32b": outcome("asgi-websocket-32b", tricorn=9.0)})
    assert "| CPU µs per message | of the uvloop floor |" in page
    assert "| messages/s |" in page
    assert "| asgi-websocket-32b | CPU per message ≤ 0.80" in page


def test_handshakes_are_counted_as_handshakes():
    found = outcome("tls-handshake-resumed", tricorn=300.0, weft=200.0)
    found.contestants.append(
        Contestant(
            "gunicorn-gthread", "gunicorn-gthread", "1", "2026-01-02", problem="resumed 0 of 188 sessions"
        )
    )
    page = report.page({"tls-handshake-resumed": found})
    assert "| CPU µs per handshake |" in page
    assert "| handshakes/s |" in page
    assert f"| **tricorn** | 300.00 | {targets.NOTHING} | 1.50 |" in page
    assert "- gunicorn-gthread: not measured (resumed 0 of 188 sessions)" in page
    assert "| tls-handshake-resumed | CPU per handshake ≤ the best peer | 1.50" in page


def test_a_row_shows_the_ratio_to_the_floor_and_to_the_best_peer():
    page = report.page(one(tricorn=8.0, floor=4.0, bjoern=5.0, granian=10.0))
    assert "| **tricorn** | 8.00 | 2.00 | 1.60 |" in page
    assert (
        page.index("| bjoern | 5.00") < page.index("| **tricorn** | 8.00") < page.index("| granian | 10.00")
    )


def test_a_server_that_did_not_run_is_named_with_the_reason():
    outcomes = one(tricorn=6.0)
    outcomes["get-1-header"].contestants.append(
        Contestant("bjoern", "bjoern", "", "2026-01-02", problem="does not build on this machine")
    )
    assert "- bjoern: not measured (does not build on this machine)" in report.page(outcomes)


def test_an_earlier_figure_shows_its_date():
    outcomes = one(tricorn=6.0, bjoern=7.0)
    outcomes["get-1-header"].contestants[1].date = "2025-12-24"
    assert "- bjoern: from an earlier run, 2025-12-24" in report.page(outcomes)


def test_idle_connections_that_were_not_kept_have_no_figure():
    idle = Outcome("idle-connections", "2026-01-02", "CPython 3.13.0", "a machine", 5, 2)
    values = {"kept": 0.0, "base_mb": 20.0, "pss_mb": 20.0}
    idle.contestants.append(Contestant("uwsgi", "uwsgi", "2", "2026-01-02", values))
    assert f"| uwsgi | {targets.NOTHING} | 0 | 20.0 | 20.0 |" in report.page({"idle-connections": idle})


def test_page_and_chart_are_written(tmp_path):
    report.write(one(tricorn=6.0, floor=5.0), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"benchmarks.md", "benchmarks-get-1-header.svg"}


def test_a_chart_is_well_formed_and_sorted():
    bars = [svg.Bar("a<b", 7.0), svg.Bar("own", 5.5, "own"), svg.Bar("floor", 5.0, "floor")]
    root = ET.fromstring(svg.chart("Title & more", "less is better", bars))
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Title & more", "less is better", "floor", "5.0", "own", "5.5", "a<b", "7.0"]


def test_a_bar_far_beyond_the_others_is_cut_and_shows_it():
    picture = svg.chart("t", "s", [svg.Bar("own", 6.0, "own"), svg.Bar("slow", 130.0)])
    assert picture.count('class="cut"') == 1
    assert ">130<" in picture


def test_a_chart_of_nothing_is_still_a_chart():
    ET.fromstring(svg.chart("t", "s", []))
