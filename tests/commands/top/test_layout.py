"""How a frame looks on screens of several sizes: whole screens as tables, and what must hold for each."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from commands.top.frames import (
    FRAME,
    NOTHING_COUNTED,
    REQUEST,
    STATUS,
    WORKER,
    many_requests,
    many_workers,
)
from rich.cells import cell_len

from tricorn.commands.top import layout
from tricorn.commands.top.keys import Action, Page, View
from tricorn.commands.top.layout import Line, everything, extent, fitted, screen, size_of, time_of
from tricorn.metrics.frames import Frame
from tricorn.records import replace


def text_of(lines: Sequence[Line]) -> list[str]:
    return ["".join(text for _, text in line).rstrip() for line in lines]


def shown(frame: Frame | None, view: View, width: int, height: int) -> str:
    return "\n".join(text_of(screen(frame, view, width, height)))


AT_80 = """\
mysite.wsgi  serving, generation 2  process 4711  up 3 h 12 min
workers 2/2 ready  running 3  waiting 0  connections 59 (41 idle)  memory 167 MB
requests 1200/s  2xx 99.1%  4xx 0.8%  5xx 0.1%  in 1.2 MB/s  out 14 MB/s
latency p50 4 ms p95 32 ms p99 130 ms  in app p95 30 ms  waiting p95 0.03 ms

     PID  STATE  GEN        AGE   REQ/S  BUSY  WAIT  CONNS    CPU  MEMORY
>   4913  ready    2  1 h 2 min     602   2/8     0     31  12.3%   84 MB
    4914  ready    2  1 h 2 min     598   1/8     0     28  12.3%   83 MB

     PID        AGE  PHASE        CLIENT         SENT  REQUEST
    4914  1 min 1 s  responding   192.0.2.7    3.0 MB  GET /export?all=1
    4913      2.1 s  application  192.0.2.7       0 B  GET /report
    4913      0.4 s  client       2001:db8::7     0 B  (a response that is comp~










q quit  d stacks  r replace  k kill  s/o sort: pid/age  h help  w only this"""

# Half of the rows are for the tables, whatever the header wants.
AT_40 = """\
mysite.wsgi  serving, generation 2
process 4711  up 3 h 12 min
workers 2/2 ready  running 3  waiting 0
connections 59 (41 idle)  memory 167 MB
requests 1200/s  2xx 99.1%  4xx 0.8%
5xx 0.1%  in 1.2 MB/s  out 14 MB/s
latency p50 4 ms p95 32 ms p99 130 ms
in app p95 30 ms  waiting p95 0.03 ms
     PID  STATE   REQ/S  BUSY    CPU
    4913  ready     602   2/8  12.3%
>   4914  ready     598   1/8  12.3%
        AGE  REQUEST
  1 min 1 s  GET /export?all=1
      2.1 s  GET /report
      0.4 s  (a response that is comple~

q quit  d stacks  r replace  k kill"""

AT_200 = """\
mysite.wsgi  serving, generation 2  process 4711  up 3 h 12 min
workers 2/2 ready  running 3  waiting 0  connections 59 (41 idle)  memory 167 MB
requests 1200/s  2xx 99.1%  4xx 0.8%  5xx 0.1%  in 1.2 MB/s  out 14 MB/s
latency p50 4 ms p95 32 ms p99 130 ms  in app p95 30 ms  waiting p95 0.03 ms
     PID  STATE  GEN        AGE   REQ/S  REQUESTS  BUSY  WAIT  CONNS  WS    CPU  MEMORY
>   4913  ready    2  1 h 2 min     602     18240   2/8     0     31   0  12.3%   84 MB
    4914  ready    2  1 h 2 min     598     18240   1/8     0     28   0  12.3%   83 MB
     PID        AGE  PHASE        CLIENT       HTTP    SENT  ID  REQUEST
    4914  1 min 1 s  responding   192.0.2.7     1.1  3.0 MB  -   GET /export?all=1
    4913      2.1 s  application  192.0.2.7     1.1     0 B  -   GET /report
    4913      0.4 s  client       2001:db8::7   1.1     0 B  -   (a response that is complete)
q quit  d stacks  r replace  k kill  s/o sort: pid/age  h help  w only this"""


@pytest.mark.parametrize(
    ("view", "width", "height", "expected"),
    [
        (View(), 80, 24, AT_80),
        (View(selected=4914), 40, 17, AT_40),
        (View(), 200, 12, AT_200),
    ],
    ids=["80x24", "40x17", "200x12"],
)
def test_a_whole_screen(view: View, width: int, height: int, expected: str) -> None:
    assert shown(FRAME, view, width, height) == expected


MANY = replace(
    FRAME,
    workers=many_workers(100),
    requests=many_requests(50),
    left_out=7,
    silent={5003: "it is stopped (SIGSTOP)"},
)


MANY_AT_80 = """\
mysite.wsgi  serving, generation 2  process 4711  up 3 h 12 min
workers 2/2 ready  running 200  waiting 0  connections 3100 (41 idle)
memory 167 MB
requests 1200/s  2xx 99.1%  4xx 0.8%  5xx 0.1%  in 1.2 MB/s  out 14 MB/s
latency p50 4 ms p95 32 ms p99 130 ms  in app p95 30 ms  waiting p95 0.03 ms

     PID  STATE  GEN        AGE   REQ/S  BUSY  WAIT  CONNS    CPU  MEMORY
    5047  ready    2  1 h 2 min    47.0   2/8     0     31  12.3%   84 MB
    5048  ready    2  1 h 2 min    48.0   2/8     0     31  12.3%   84 MB
    5049  ready    2  1 h 2 min    49.0   2/8     0     31  12.3%   84 MB
>   5050  ready    2  1 h 2 min    50.0   2/8     0     31  12.3%   84 MB
    5051  ready    2  1 h 2 min    51.0   2/8     0     31  12.3%   84 MB
    5052  ready    2  1 h 2 min    52.0   2/8     0     31  12.3%   84 MB
  47 more above, 47 below

     PID     AGE  PHASE        CLIENT     HTTP    SENT  REQUEST 11-16 of 50+7
  5003 does not answer: it is stopped (SIGSTOP)
    4913    40 s  application  192.0.2.7   1.1     0 B  GET /10
    4913    39 s  application  192.0.2.7   1.1     0 B  GET /11
    4913    38 s  application  192.0.2.7   1.1     0 B  GET /12
    4913    37 s  application  192.0.2.7   1.1     0 B  GET /13
    4913    36 s  application  192.0.2.7   1.1     0 B  GET /14
    4913    35 s  application  192.0.2.7   1.1     0 B  GET /15
q quit  d stacks  r replace  k kill  s/o sort: pid/age  h help  w only this"""


def test_many_workers_and_requests() -> None:
    assert shown(MANY, View(selected=5050, scroll=10), 80, 24) == MANY_AT_80
    assert extent(MANY, View(), 80, 24).size == 6
    last = shown(MANY, View(selected=5099, scroll=1000), 80, 12).splitlines()
    assert last[6].startswith(">   5099")
    assert last[7] == "  99 more above, 0 below"
    assert last[10].endswith("GET /49")


def test_only_one_worker() -> None:
    lines = shown(FRAME, View(selected=4914, only=True), 80, 24).splitlines()
    assert [line for line in lines if "192.0.2.7" in line or "2001:db8::7" in line] == [
        "    4914  1 min 1 s  responding   192.0.2.7  3.0 MB  GET /export?all=1"
    ]


def test_where_nothing_is_counted_it_says_how() -> None:
    lines = shown(NOTHING_COUNTED, View(), 80, 24).splitlines()
    assert lines[1:4] == [
        "workers 2/2 ready  running 3  waiting 0  connections 59  memory 167 MB",
        "requests 1200/s",
        "statuses, bytes, latencies:  set metrics (--metrics), and reload",
    ]


def test_nothing_is_served() -> None:
    lines = shown(
        replace(FRAME, requests=[], workers=[], latencies={}, rate=None), View(), 80, 24
    ).splitlines()
    assert lines[2].startswith("requests -/s")
    assert lines[3] == "latency: no requests in the last minute"
    assert lines[-14].strip() == "nothing is being served" or "  nothing is being served" in lines


def test_what_is_not_as_usual() -> None:
    status = {
        **STATUS,
        "mode": "paused",
        "is_on_trial": True,
        "newer": 4800,
        "workers": {"wanted": 3, "ready": 1, "booting": 1, "leaving": 2},
    }
    workers = [replace(WORKER, state="mold", is_mold=True), replace(WORKER, note="max_requests", memory=0)]
    text = shown(replace(FRAME, status=status, workers=workers, backlog=5), View(), 80, 24)
    for said in (
        "paused, generation 2",
        "an upgrade is under way: the newer master is process 4800",
        "a reload is under way",
        "workers 1/3 ready  1 booting  2 leaving",
        "not accepted yet 5",
        "4913  mold     2  1 h 2 min       -     -     -      -  12.3%   84 MB",
        "4913: max_requests, so a successor takes its place",
    ):
        assert said in text, said


def test_before_the_first_answer() -> None:
    assert shown(None, View(), 80, 3).splitlines() == [
        "Asking the server",
        "",
        "q quit  d stacks  r replace  k kill  s/o sort: pid/age  h help  w only this",
    ]


LONG = [f"line {number}" for number in range(30)]


def test_stacks_and_help_are_pages_that_scroll() -> None:
    view = View(page=Page.STACKS, text=LONG, text_of=4913, scroll=3)
    assert shown(FRAME, view, 80, 6).splitlines() == [
        "Stacks of worker 4913  4-7 of 30",
        *LONG[3:7],
        "q back  up/down/pages scroll  d again",
    ]
    assert extent(FRAME, view, 80, 6) == layout.Extent(4, 30)
    assert extent(FRAME, replace(view, text=["x" * 100]), 40, 6) == layout.Extent(4, 3)
    assert "k             kill it at once" in shown(FRAME, View(page=Page.HELP), 80, 24)
    assert max(map(len, layout.HELP.splitlines())) <= 80


def test_questions_and_messages_stand_at_the_bottom() -> None:
    asks = View(asks=Action("kill", 4913))
    assert shown(FRAME, asks, 80, 24).splitlines()[-1].startswith("Kill worker 4913 at once")
    assert shown(FRAME, View(message="a\x1bb"), 80, 24).splitlines()[-1] == r"a\x1Bb"


HOSTILE = "\x1b[31m\x9b2J\u202e\u200b\ud800\r\n\t日本語👍e\u0301" * 4
REQUESTS = [
    replace(REQUEST, **{name: HOSTILE})  # type: ignore[arg-type]  # each of them is a text
    for name in ("phase", "method", "target", "client", "id")
]
WILD = replace(
    FRAME,
    status={**STATUS, "app": HOSTILE},
    workers=[replace(WORKER, note=HOSTILE)],
    requests=REQUESTS,
    silent={4913: HOSTILE},
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u202e\ud800]")


@pytest.mark.parametrize("frame", [FRAME, MANY, WILD], ids=["usual", "many", "hostile"])
def test_no_line_is_too_long_and_none_steers_a_terminal(frame: Frame) -> None:
    """Whatever clients and applications call themselves."""
    views = [
        View(),
        View(page=Page.STACKS, text=[HOSTILE, *LONG]),
        View(page=Page.HELP, scroll=5),
        View(message=HOSTILE),
    ]
    for width in (1, 2, 3, 40, 80, 200):
        for height in (1, 2, 5, 24):
            for view in views:
                lines = screen(frame, view, width, height)
                assert len(lines) == height
                for line in lines:
                    text = "".join(piece for _, piece in line)
                    assert cell_len(text) <= width, (width, height, text)
                    assert not CONTROL.search(text)
        for line in everything(frame, width):
            assert not CONTROL.search("".join(piece for _, piece in line))


def test_everything_at_once() -> None:
    lines = text_of(everything(MANY, 100))
    assert sum("ready    2" in line for line in lines) == 100
    assert lines[-1].endswith("GET /49")
    assert not any(line.startswith(">") for line in lines)
    assert "  5003 does not answer: it is stopped (SIGSTOP)" in lines


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab~"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本~"),
        ("日本語", 4, "日~"),
        ("日本", 2, "~"),
        ("a", 0, ""),
    ],
)
def test_a_cut(text: str, width: int, expected: str) -> None:
    assert fitted(text, width) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (84 << 20, "84 MB"), (3 << 30, "3.0 GB")],
)
def test_sizes(value: int, expected: str) -> None:
    assert size_of(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.00001, "0.01 ms"), (0.0042, "4.2 ms"), (0.13, "130 ms"), (1.25, "1.2 s"), (75, "1 min 15 s")],
)
def test_times(seconds: float, expected: str) -> None:
    assert time_of(seconds) == expected
