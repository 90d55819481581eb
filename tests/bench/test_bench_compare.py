"""Two source trees, driven in turn."""

import argparse
from pathlib import Path

import pytest

from bench import compare, measure


def test_a_checkout_or_its_src_is_a_source(tmp_path):
    (tmp_path / "src" / "tricorn").mkdir(parents=True)
    assert compare.source(str(tmp_path)) == compare.source(str(tmp_path / "src")) == tmp_path / "src"
    with pytest.raises(argparse.ArgumentTypeError, match="no package tricorn"):
        compare.source(str(tmp_path / "src" / "tricorn"))


def test_both_sides_are_driven_in_turn_and_each_from_its_source(monkeypatch):
    class Side:
        def __init__(self, path):
            self.path = path

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    driven = []

    def drive(_scenario, side, _seconds):
        driven.append(side.path)
        return {"cpu_us": {"/a": 4.0, "/b": 2.0}[side.path], "failures": 0}

    monkeypatch.setattr(measure, "launch", lambda _scenario, _entry, _name, _loops, path: Side(path))
    monkeypatch.setattr(measure, "check", lambda *_: None)
    monkeypatch.setattr(measure, "drive", drive)
    scenario = compare.scenarios.by_name("asgi-get-1-header")
    pairs = compare.compare(scenario, (Path("/a"), Path("/b")), 2, 1)
    assert compare.column(pairs, "cpu_us") == [(4.0, 2.0), (4.0, 2.0)]
    assert driven == ["/a", "/b", "/a", "/b", "/b", "/a"]


def test_the_ratio_is_the_median_of_the_rounds(capsys):
    values = [(4.0, 2.0), (4.0, 4.0), (4.0, 8.0), (1.0, 1.0), (2.0, 1.0)]
    compare.report([({"cpu_us": a}, {"cpu_us": b}) for a, b in values])
    assert "cpu_us b/a, median of the rounds: 1.000" in capsys.readouterr().out


def test_a_share_of_the_capacity_is_a_rate_for_both(monkeypatch, capsys):
    monkeypatch.setattr(compare, "saturated", lambda *_: 20_000.0)
    words = [
        "--a",
        ".",
        "--b",
        ".",
        "--scenario",
        "flask-hello",
        "--open-loop",
        "--share",
        "30",
        "90",
        "--connections",
        "8",
        "--sleep",
    ]
    scenario = compare.with_threads(compare.scenarios.by_name("flask-hello"), 8)
    planned = list(compare.plan(scenario, compare.parser().parse_args(words)))
    assert [(s.rate, s.connections, s.spin, s.launch.threads) for s in planned] == [
        (6_000, 8, False, 8),
        (18_000, 8, False, 8),
    ]
    assert "6,000 requests a second, 30 % of 20,000" in capsys.readouterr().out
