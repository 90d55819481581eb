"""Medians, and what a second run keeps of the first."""

from bench import results
from bench.results import Contestant, Outcome


def contestant(key, date="2026-01-01", **values):
    return Contestant(key, key, "1.0", date, dict(values))


def outcome(*contestants, python="CPython 3.13.0"):
    return Outcome("get-1-header", "2026-01-02", python, "a machine", 5, 2, list(contestants))


def test_a_value_is_the_median_and_failures_are_summed():
    c = contestant("tricorn")
    results.summarise(c, [{"cpu_us": v, "failures": 2} for v in (5.0, 90.0, 6.0)])
    assert c.values == {"cpu_us": 6.0, "failures": 6}
    assert c.spread["cpu_us"] == (5.0, 90.0)


def test_servers_that_were_not_run_again_keep_their_figures():
    old = outcome(contestant("tricorn", cpu_us=9), contestant("bjoern", cpu_us=7))
    merged = results.merge(old, outcome(contestant("tricorn", "2026-01-02", cpu_us=6)))
    assert {c.key: c.values["cpu_us"] for c in merged.contestants} == {"tricorn": 6, "bjoern": 7}
    assert merged.find("bjoern").date == "2026-01-01"


def test_figures_of_another_interpreter_are_not_mixed_in():
    old = outcome(contestant("bjoern", cpu_us=7), python="CPython 3.11.7")
    assert [c.key for c in results.merge(old, outcome(contestant("tricorn"))).contestants] == ["tricorn"]


def test_saved_results_are_loaded_as_they_were(tmp_path):
    kept = outcome(contestant("tricorn", cpu_us=6.5))
    results.summarise(kept.contestants[0], [{"rps": 1.0}])
    results.save(tmp_path / "r.json", {"get-1-header": kept})
    assert results.load(tmp_path / "r.json") == {"get-1-header": kept}


def test_nothing_saved_is_no_results(tmp_path):
    assert results.load(tmp_path / "none.json") == {}
