"""The dashboard, the alert rules and the page name what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from architecture.source import ROOT
from deploy.test_containers import KUBERNETES
from metrics.scraping import asked, counting
from prometheus_client.parser import text_string_to_metric_families

from tricorn.metrics import figures
from tricorn.metrics.exposition import rendered
from tricorn.metrics.table import OF_GROUP

DEPLOY = ROOT / "examples" / "deploy"
NAME = re.compile(r"\btricorn_[a-z0-9_]+")
#: Made of ours by others, or shortened.
NOT_OURS = {"tricorn_waiting_p95_seconds", "tricorn_busy_share", "tricorn_request_"}

#: An application, so that there are figures of heavy workers.
HEAVY = """
from tricorn.heavy import DirtyApp


class Nothing(DirtyApp):
    pass
"""


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    home = tmp_path_factory.mktemp("pages")
    (home / "heavy_one.py").write_text(HEAVY)
    with counting(home, "--dirty-app=heavy_one:Nothing", "--dirty-workers=1", f"--pythonpath={home}"):
        text = rendered(asked(home / "ctl.sock")["data"])[0].decode()
    return list(text_string_to_metric_families(text))


def expressions(found: Any) -> list[str]:
    """All values of `expr` in it."""
    if isinstance(found, list):
        return [each for value in found for each in expressions(value)]
    if not isinstance(found, dict):
        return []
    own = [found["expr"]] if isinstance(found.get("expr"), str) else []
    return own + [each for value in found.values() for each in expressions(value)]


def labels_of(families: list[Any]) -> dict[str, dict[str, set[str]]]:
    """Sample → label → its values."""
    known: dict[str, dict[str, set[str]]] = {}
    for family in families:
        for sample in family.samples:
            labels = known.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return known


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
def test_what_is_asked_for_is_there(families: list[Any], name: str) -> None:
    text = (DEPLOY / name).read_text()
    asked_for = expressions(json.loads(text) if name.endswith(".json") else yaml.safe_load(text))
    known = labels_of(families)
    assert len(asked_for) > 8
    assert set(NAME.findall(text)) <= set(known)
    for expression in asked_for:
        assert all(expression.count(one) == expression.count(other) for one, other in ("()", "{}", "[]"))
        for sample, chosen in re.findall(r"\b(tricorn_[a-z0-9_]+)(?:\{([^}]*)\})?", expression):
            for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', chosen or ""):
                if label in {"job", "instance"}:
                    continue
                values = value.split("|") if operator == "=~" else [value]
                assert set(values) <= known[sample][label], expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            have = set().union(*(known[sample] for sample in NAME.findall(expression)))
            assert {each.strip() for each in grouped.split(",")} <= have | {"job", "instance"}


def test_the_dashboard_shows_exemplars_of_what_has_them() -> None:
    targets = [
        target
        for panel in json.loads((DEPLOY / "grafana.json").read_text())["panels"]
        for target in panel["targets"]
        if target.get("exemplar")
    ]
    assert len(targets) == 4
    names = {f"{family.name}_bucket" for family in OF_GROUP if family.place in figures.EXEMPLIFIED_PLACES}
    assert {name for target in targets for name in NAME.findall(target["expr"])} <= names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_reads_rules_and_text(tmp_path: Path) -> None:
    with counting(tmp_path) as live:
        live.request("/api/x")
        text = rendered(asked(tmp_path / "ctl.sock")["data"])[0]
    for words, given in ((("rules", DEPLOY / "alerts.yml"), b""), (("metrics",), text)):
        done = subprocess.run(["promtool", "check", *words], input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr  # what its linter says of names and help


def yaml_of(page: str) -> list[Any]:
    text = (Path(ROOT) / "docs" / page).read_text()
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_autoscaler_asks_for_what_is_made_of_ours(families: list[Any]) -> None:
    """By rules that name series and labels which there are, where pods are scraped as the page says."""
    blocks = [block for block in yaml_of("metrics.md") if isinstance(block, dict)]
    (autoscaler,) = (block for block in blocks if block.get("kind") == "HorizontalPodAutoscaler")
    kubernetes_validate.validate(autoscaler, KUBERNETES, strict=True)
    (rules,) = (block["rules"] for block in blocks if "rules" in block)
    wanted = {each["pods"]["metric"]["name"] for each in autoscaler["spec"]["metrics"]}
    assert {rule["name"]["as"] for rule in rules} == wanted
    known = labels_of(families)
    scraped = [job for block in blocks for job in block.get("scrape_configs", ())]
    given = {
        each["target_label"]
        for job in scraped
        for each in job.get("relabel_configs", ())
        if "target_label" in each
    }
    for rule in rules:
        (series,) = NAME.findall(rule["seriesQuery"])
        assert series in known
        assert (
            set(re.findall(r'(\w+)!=""', rule["seriesQuery"])) == set(rule["resources"]["overrides"]) == given
        )
        for label, value in re.findall(r'(\w+)="([^"]*)"', rule["metricsQuery"]):
            assert value in known[series][label]


def test_each_rule_says_what_it_means() -> None:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule
        assert rule["annotations"]["summary"], rule


def test_the_page_names_all_and_no_others(families: list[Any]) -> None:
    page = (Path(ROOT) / "docs" / "metrics.md").read_text()
    samples = {sample.name for family in families for sample in family.samples}
    named = set(NAME.findall(page)) - NOT_OURS
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in named else name for name in samples}
    assert bases <= named
    assert named <= bases | samples
    known = labels_of(families)
    for sample, label in (("tricorn_errors_total", "kind"), ("tricorn_worker_ends_total", "reason")):
        for value in known[sample][label]:
            assert f"`{value}`" in page, value
