"""What it costs to see inside: targets are held or missed, and each setting is one that there is."""

import argparse

import pytest

from bench import seeing
from bench.seeing import ON, Figure
from tricorn.config.settings import Settings
from tricorn.records import fields


@pytest.mark.parametrize(
    ("value", "most", "said"), [(1.0, 1.0, "≤ 1: held"), (1.001, 1.0, "≤ 1: MISSED"), (9.0, None, "times")]
)
def test_a_target(value, most, said):
    figure = Figure("all on", value, "times", most)
    assert figure.is_held == ("MISSED" not in said)
    assert str(figure).endswith(said)


def test_what_is_on_is_a_setting():
    known = {f"TRICORN_{field.name.upper()}" for field in fields(Settings)}
    assert set(ON) <= known


def test_what_is_measured_is_in_the_table():
    for name in (*seeing.COUNTED, *seeing.INSTRUCTED):
        assert seeing.OWN in seeing.scenarios.by_name(name).entries
    for name, entry in seeing.PROFILED:
        assert entry in seeing.scenarios.by_name(name).entries


def test_each_by_itself():
    assert list(seeing.ways(argparse.Namespace(each=False))) == ["all on"]
    one_by_one = seeing.ways(argparse.Namespace(each=True))
    assert one_by_one["TRICORN_METRICS alone"] == {"TRICORN_METRICS": "true"}
    assert len(one_by_one) == len(ON) + 1


def test_a_directory_of_its_own():
    with seeing.settled(ON) as variables:
        assert variables["TRICORN_ADMIN_BIND"].endswith("/admin.sock")
        assert "{" not in "".join(variables.values())


def test_a_missed_target_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(seeing.environment, "prepare", lambda: None)
    for value, status in ((4.0, 0), (6.0, 1)):
        monkeypatch.setattr(seeing, "metrics", lambda _chosen, value=value: [Figure("m", value, "ms", 5.0)])
        monkeypatch.setattr("sys.argv", ["seeing", "--part", "metrics"])
        assert seeing.main() == status
    assert "MISSED" in capsys.readouterr().out
