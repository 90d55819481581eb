"""How the suite's reports are judged, and that a machine without Python 2.7 is told what it needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.server import wait_for

from autobahn import environment
from autobahn.client import ClientRun
from autobahn.report import Outcome, judge, outcomes, remarks, table

GOOD = ("OK", "OK")


def write_reports(directory: Path, words: dict[str, tuple[str, str]], **details: Any) -> Path:
    """Reports as the suite writes them."""
    entries = {}
    for case, (behavior, close) in words.items():
        file = f"case_{case.replace('.', '_')}.json"
        entries[case] = {"behavior": behavior, "behaviorClose": close, "reportfile": file}
        about = {"expected": {}, "received": [], "result": "", "resultClose": "", "remoteCloseCode": None}
        (directory / file).write_text(json.dumps({**about, **details}))
    index = directory / "index.json"
    index.write_text(json.dumps({"server": entries}))
    return index


@pytest.mark.parametrize(
    ("behavior", "close", "verdict"),
    [
        ("OK", "OK", "OK"),
        ("OK", "UNCLEAN", "FAILED"),
        ("OK", "WRONG CODE", "FAILED"),
        ("OK", "FAILED BY CLIENT", "FAILED"),
        ("NON-STRICT", "OK", "NON-STRICT"),
        ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
        ("INFORMATIONAL", "INFORMATIONAL", "INFORMATIONAL"),
        ("FAILED", "OK", "FAILED"),
        ("a word of a later version", "OK", "FAILED"),
    ],
)
def test_a_case_is_ok_only_if_both_words_are(behavior: str, close: str, verdict: str) -> None:
    assert judge(behavior, close) == verdict


@pytest.mark.parametrize(
    ("case", "verdict", "good"),
    [
        ("1.1.1", "OK", True),
        ("7.1.6", "INFORMATIONAL", True),
        ("7.13.2", "INFORMATIONAL", True),
        ("7.1.6", "FAILED", False),
        ("1.1.1", "INFORMATIONAL", False),
        ("1.1.1", "NON-STRICT", False),
        ("12.1.1", "UNIMPLEMENTED", False),
        ("1.1.1", "MISSING", False),
    ],
)
def test_informational_is_good_only_where_nothing_else_can_come(case: str, verdict: str, good: bool) -> None:
    assert Outcome(case, verdict).is_good is good


def test_a_case_without_a_report_is_missing(tmp_path: Path) -> None:
    index = write_reports(tmp_path, {"1.1.1": GOOD})
    found = outcomes(index, ["1.1.1", "1.1.2"])
    assert [(outcome.case, outcome.verdict) for outcome in found] == [("1.1.1", "OK"), ("1.1.2", "MISSING")]


def test_a_client_that_was_cut_leaves_only_missing_cases(tmp_path: Path) -> None:
    assert [outcome.verdict for outcome in outcomes(tmp_path / "index.json", ["1.1.1"])] == ["MISSING"]


def test_what_is_not_ok_is_explained(tmp_path: Path) -> None:
    index = write_reports(
        tmp_path,
        {"7.1.5": ("FAILED", "WRONG CODE"), "7.1.6": ("INFORMATIONAL", "INFORMATIONAL"), "7.1.1": GOOD},
        expected={"OK": [["message", "a", False]]},
        remoteCloseCode=1006,
        resultClose="should have been 1000",
    )
    found = outcomes(index, ["7.1.1", "7.1.5", "7.1.6"])
    failed, informational = remarks(found).split("\n")
    assert failed.startswith("7.1.5    FAILED")
    assert "wanted [['message', 'a', False]], got []" in failed
    assert "close: WRONG CODE (1006), should have been 1000" in failed
    assert informational.startswith("7.1.6    INFORMATIONAL")
    assert "no other word" in informational


def test_the_table_counts_each_group_and_all() -> None:
    text = table([("1", [Outcome("1.1", "OK"), Outcome("1.2", "OK")]), ("7", [Outcome("7.1", "FAILED")])])
    head, *lines = (line.split() for line in text.split("\n"))
    columns = {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}
    assert columns["1"]["OK"] == "2"
    assert columns["1"]["FAILED"] == "-"
    assert (columns["all"]["cases"], columns["all"]["OK"], columns["all"]["FAILED"]) == ("3", "2", "1")


def test_this_interpreter_is_no_python_2_7() -> None:
    with pytest.raises(environment.NotPossibleError, match=r"is no Python 2\.7"):
        environment.find_python27(sys.executable)


def test_without_python_2_7_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(environment.NotPossibleError, match=r"pyenv install 2\.7"):
        environment.find_python27(None)


def test_a_run_tells_what_it_was_going_to_do_and_how_far_it_came(tmp_path: Path) -> None:
    wstest = tmp_path / "wstest"
    wstest.write_text(
        "#!/bin/sh\necho \"Cases = ['1.1.1', '1.1.2']\"\necho Running test case ID 1.1.1 for agent server\n"
        "exec tail -f /dev/null\n"
    )
    wstest.chmod(0o755)
    run = ClientRun(wstest, "ws://127.0.0.1:9", "1", tmp_path)
    try:
        wait_for(lambda: run.is_over() or run.started, "the first case has begun")
    finally:
        run.end("enough")
    assert run.is_over()
    assert (run.announced, run.started, run.cut) == (["1.1.1", "1.1.2"], ["1.1.1"], "enough")
