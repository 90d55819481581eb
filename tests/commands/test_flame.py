"""A profile as files: each is what its readers take."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tricorn.commands.flame import SCHEMA, WIDTH, speedscope, stacks_of, svg, tree

ANSWERS: list[dict[str, Any]] = [
    {
        "pid": 10,
        "frames": [["app", "/srv/site.py", 3], ["query", "/srv/db.py", 70], ["<lambda>", "/srv/x&y.py", 1]],
        "stacks": [["MainThread", [0, 1], 2.5], ["MainThread", [0], 0.5], ["tasks", [2], 1.0]],
    },
    {"pid": 11, "frames": [["app", "/srv/site.py", 3]], "stacks": [["MainThread", [0], 4.0]]},
    {"pid": 12, "silent": "it is busy"},
]
STACKS = stacks_of(ANSWERS)


def check_frame(frame: Any) -> None:
    """FileFormat.Frame of the schema."""
    assert set(frame) <= {"name", "file", "line", "col"}
    assert type(frame["name"]) is str
    assert type(frame.get("file", "")) is str
    assert type(frame.get("line", 0)) is int


def check_sampled(profile: Any, frames: int) -> None:
    """FileFormat.SampledProfile of the schema."""
    assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert profile["type"] == "sampled"
    assert type(profile["name"]) is str
    assert profile["unit"] in {"bytes", "microseconds", "milliseconds", "nanoseconds", "none", "seconds"}
    assert all(type(profile[key]) in (int, float) for key in ("startValue", "endValue"))
    assert len(profile["samples"]) == len(profile["weights"])
    assert all(type(number) is int and 0 <= number < frames for one in profile["samples"] for number in one)
    assert all(type(weight) in (int, float) for weight in profile["weights"])
    assert profile["endValue"] - profile["startValue"] == pytest.approx(sum(profile["weights"]))


def check_file(file: Any) -> None:
    """FileFormat.File of https://www.speedscope.app/file-format-schema.json."""
    assert set(file) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file["shared"]) == {"frames"}
    for frame in file["shared"]["frames"]:
        check_frame(frame)
    for profile in file["profiles"]:
        check_sampled(profile, len(file["shared"]["frames"]))
    assert type(file["activeProfileIndex"]) is int
    assert {type(file[key]) for key in ("name", "exporter")} == {str}


def test_speedscope() -> None:
    file = json.loads(json.dumps(speedscope(STACKS, "site")))
    check_file(file)
    assert file["$schema"] == SCHEMA
    assert [(each["name"], each["endValue"]) for each in file["profiles"]] == [
        ("worker 10: MainThread", 3.0),
        ("worker 10: tasks", 1.0),
        ("worker 11: MainThread", 4.0),
    ]
    named = [frame["name"] for frame in file["shared"]["frames"]]
    assert sorted(named) == ["<lambda>", "app", "query"]  # what two workers share is there once
    first = file["profiles"][0]
    weights = dict(zip(map(tuple, first["samples"]), first["weights"], strict=True))
    app, query = named.index("app"), named.index("query")
    assert weights == {(app, query): 2.5, (app,): 0.5}


def test_the_tree_is_of_all_workers() -> None:
    root = tree(STACKS)
    assert root.seconds == 8.0
    assert {name: box.seconds for name, box in root.called.items()} == {"MainThread": 7.0, "tasks": 1.0}
    (app,) = root.called["MainThread"].called.values()
    assert (app.name, app.seconds, [box.seconds for box in app.called.values()]) == ("app", 7.0, [2.5])


def boxes(text: str) -> dict[str, tuple[float, float, float]]:
    """By what is said of each: its left end, its width, how far down."""
    space = "{http://www.w3.org/2000/svg}"
    found = {}
    for group in ElementTree.fromstring(text).iter(f"{space}g"):
        rect = group.find(f"{space}rect")
        assert rect is not None
        x, width, y = (float(rect.attrib[name]) for name in ("x", "width", "y"))
        found[str(group.findtext(f"{space}title"))] = (x, width, y)
    return found


def test_the_picture() -> None:
    found = boxes(svg(STACKS, "site"))
    assert set(found) == {
        "all: 8.00 s, 100.0%",
        "MainThread: 7.00 s, 87.5%",
        "tasks: 1.00 s, 12.5%",
        "app (/srv/site.py:3): 7.00 s, 87.5%",
        "query (/srv/db.py:70): 2.50 s, 31.2%",
        "<lambda> (/srv/x&y.py:1): 1.00 s, 12.5%",
    }
    whole, thread = found["all: 8.00 s, 100.0%"], found["MainThread: 7.00 s, 87.5%"]
    app = found["app (/srv/site.py:3): 7.00 s, 87.5%"]
    assert whole[2] > thread[2] > app[2]  # what is called stands above
    assert thread[1] == pytest.approx(whole[1] * 7 / 8, abs=1)
    assert all(x >= 0 and x + width <= WIDTH for x, width, _ in found.values())


def test_the_picture_fetches_and_runs_nothing() -> None:
    evil = [["</title><script>alert(1)</script>", "\x00\x1b[31m\ufffe", 1], ["a" * 300, "/x", 2]]
    answer = {"pid": 1, "frames": evil, "stacks": [['"><image href="http://x"/>', [0, 1], 1.0]]}
    root = ElementTree.fromstring(svg(stacks_of([answer]), "<script>"))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "rect", "text", "g"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if "href" in name or name.startswith("on") or name == "style"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"pid": "x", "frames": [["a", "b", 1]], "stacks": [["t", [0], 1]]},
        {"pid": 1, "frames": [["a", "b"]], "stacks": []},
        {"pid": 1, "frames": [], "stacks": [["t", [4], 1]]},
        {"pid": 1, "frames": 5, "stacks": 5},
    ],
)
def test_what_an_application_has_made_up_is_left_out(answer: dict[str, Any]) -> None:
    assert stacks_of([answer]) == []


def test_nothing_was_found() -> None:
    assert boxes(svg([], "site")) == {}
    check_file(speedscope([], "site"))


def test_a_deep_stack_is_drawn() -> None:
    frames = [[f"f{number}", "/x", number] for number in range(120)]
    stacks = stacks_of([{"pid": 1, "frames": frames, "stacks": [["t", list(range(120)), 1.0]]}])
    assert len(boxes(svg(stacks, "site"))) == 122
