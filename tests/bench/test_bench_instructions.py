"""Counting instructions: what callgrind wrote, what is stored, and one server for real."""

import shutil
import subprocess
import sys
import time

import pytest

from bench import environment, instructions, paths, proc
from bench.instructions import Count
from bench.process import ServerError

DUMP = """\
# callgrind format
version: 1
events: Ir
fn=(1) main
12 345
summary: 16340
totals: 16345
"""


def test_the_total_of_a_dump_is_read():
    assert instructions.total_of(DUMP) == 16_345
    with pytest.raises(ServerError, match="no totals"):
        instructions.total_of(DUMP.partition("summary")[0])


def test_the_worker_is_the_process_that_executed_most(tmp_path):
    (tmp_path / "10.1").write_text(DUMP.replace("16345", "400"))
    (tmp_path / "11.1").write_text(DUMP)
    (tmp_path / "11").write_text(DUMP.replace("16345", "999999"))  # written at its end, for the whole life
    assert instructions.total_of_worker(tmp_path) == 16_345


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "INSTRUCTIONS", tmp_path / "stored.json")
    counts = [Count("tricorn", name, 10_000) for name in instructions.SCENARIOS]
    instructions.save(paths.INSTRUCTIONS, instructions.merge({}, counts))
    return paths.INSTRUCTIONS


@pytest.mark.usefixtures("stored")
def test_a_guarded_figure_may_not_grow_by_more_than_a_hundredth(capsys):
    allowed, grown = Count("tricorn", "get-1-header", 10_100), Count("tricorn", "post-10k-echo", 10_101)
    others = [Count("tricorn", "flask-hello", 20_000), Count("granian", "get-1-header", 99_000)]
    assert instructions.dearer([allowed, grown, *others]) == [grown]
    assert "post-10k-echo: more than 1.01 times" in capsys.readouterr().out


@pytest.mark.usefixtures("stored")
def test_another_interpreter_is_not_compared(monkeypatch, capsys):
    monkeypatch.setattr(instructions, "interpreter", lambda: "CPython 3.99.0")
    assert instructions.dearer([Count("tricorn", "get-1-header", 99_000)]) == []
    assert "no figures are stored for CPython 3.99.0" in capsys.readouterr().out


def test_new_figures_take_the_place_of_their_like_only(stored):
    figures = instructions.merge(instructions.load(stored), [Count("tricorn", "get-1-header", 9_000)])
    (ours,) = figures.values()
    assert ours["tricorn"]["get-1-header"] == 9_000
    assert ours["tricorn"]["post-10k-echo"] == 10_000


@pytest.mark.parametrize(
    ("enough", "counted", "least"), [(100, 1, 100), (99, 3, 90), (90, 3, 90), (0, 4, 90)]
)
def test_what_seems_dear_is_counted_again_with_its_objects_elsewhere(enough, counted, least):
    rest = iter([Count("tricorn", "get-1-header", n) for n in (100, 101, 90, 102)])
    assert instructions.least(rest, enough).instructions == least
    assert len([*rest]) == 4 - counted


def wait_again_and_again(sleepers, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sleepers.wait(0)


def test_a_tree_sleeps_when_none_of_its_threads_runs():
    code = "import sys, time; print(flush=True); sys.stdin.readline(); sum(range(10**8)); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            process.stdout.readline()
            with proc.Sleepers(process.pid) as sleepers:
                sleepers.wait(10)
                process.stdin.write("\n")
                process.stdin.flush()
                with pytest.raises(TimeoutError, match="still runs"):
                    wait_again_and_again(sleepers, 10)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("valgrind", "vgdb", "cc", "setpriv"))), reason="needs valgrind and cc"
)
def test_a_count_repeats():
    """Beside other work one may be dearer: a thread that gets no processor has another one stand in."""
    environment.prepare()
    assert environment.compile_program("slowclock", paths.SLOWCLOCK, "-shared", "-fPIC") == ""
    counts = [instructions.count_one("get-1-header", "tricorn", requests=300).instructions for _ in range(3)]
    least, second, _ = sorted(counts)
    assert 5_000 < least < 50_000
    assert least == pytest.approx(second, rel=0.005), counts
