"""Bytes of a terminal become keys; keys change the view, or want something done."""

from __future__ import annotations

import pytest
from commands.top.frames import FRAME, REQUEST, WORKER, many_requests, many_workers

from tricorn.commands.top.keys import (
    REQUEST_SORTS,
    WORKER_SORTS,
    Action,
    Decoder,
    Extent,
    Page,
    View,
    pressed,
    sorted_requests,
    sorted_workers,
)
from tricorn.records import replace


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"qsK", ["q", "s", "K"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", ["pageup", "pagedown", "home", "end", "home", "end"]),
        (b"\x03\x04\x1a\x0c\r\n?", ["quit", "quit", "suspend", "redraw", "enter", "enter", "h"]),
        (b"\x1b[1;5A", []),  # with Ctrl
        (b"\x1b[24~q", ["q"]),  # F12
        (b"\x1bq", ["escape", "q"]),
        (b"\x00\xff\xc3\xa9 !q", ["q"]),
        (b"\x1b[" + b"1;" * 40 + b"Aq", ["q"]),
    ],
)
def test_keys(data: bytes, keys: list[str]) -> None:
    whole = Decoder()
    assert whole.feed(data) == keys
    assert not whole.pending
    pieces = Decoder()
    assert [key for byte in data for key in pieces.feed(bytes((byte,)))] == keys


def test_escape_alone_is_a_key_after_a_moment() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.pending
    assert decoder.flush() == ["escape"]
    assert not decoder.pending
    assert decoder.feed(b"\x1b[") == []
    assert decoder.flush() == []
    assert decoder.feed(b"A") == ["A"]


AROUND = Extent(5, 20)


def after(view: View, *keys: str) -> tuple[View, Action | None]:
    action = None
    for key in keys:
        view, action = pressed(view, key, FRAME, AROUND)
    return view, action


def test_a_worker_is_selected() -> None:
    assert after(View(), "down")[0].selected == 4914
    assert after(View(), "down", "down", "down")[0].selected == 4914
    assert after(View(), "down", "up", "up")[0].selected == 4913
    assert after(View(selected=1), "down")[0].selected == 4914  # it has gone


def test_sorts_go_round() -> None:
    assert after(View(), "S")[0].worker_sort == len(WORKER_SORTS) - 1
    assert after(View(), *("s",) * len(WORKER_SORTS))[0] == View()
    assert after(View(), "O", "o", "o")[0].request_sort == 1


def test_scrolling_has_ends() -> None:
    assert after(View(), "pagedown")[0].scroll == 5
    assert after(View(), *("pagedown",) * 9)[0].scroll == 15
    assert after(View(), "end", "pageup", "home")[0].scroll == 0
    assert after(View(page=Page.HELP), "down", "down", "up")[0].scroll == 1
    assert Extent(5, 3).scrolled(0, "end") == 0


def test_the_requests_of_one_worker() -> None:
    view, action = after(View(scroll=3), "down", "w")
    assert (view.only, view.selected, view.scroll, action) == (True, 4914, 0, None)
    assert not after(view, "enter")[0].only


@pytest.mark.parametrize(("key", "what"), [("r", "replace"), ("k", "kill")])
def test_what_ends_a_worker_wants_a_yes(key: str, what: str) -> None:
    view, action = after(View(), "down", key)
    assert (view.asks, action) == (Action(what, 4914), None)
    assert after(view, "y") == (replace(view, asks=None), Action(what, 4914))
    for no in ("n", "q", "escape", "enter", "k"):
        assert after(view, no) == (replace(view, asks=None), None)


def test_the_worker_that_was_asked_about_is_meant() -> None:
    """Whoever else is first in the list by then."""
    view, _ = after(View(worker_sort=1), "k")
    assert view.asks == Action("kill", 4913)
    _, action = pressed(view, "y", replace(FRAME, workers=many_workers(3)), AROUND)
    assert action == Action("kill", 4913)


def test_stacks() -> None:
    view, action = after(View(), "d")
    assert action == Action("dump", 4913)
    shown = replace(view, page=Page.STACKS, text=("a",), text_of=4913, scroll=2)
    assert after(shown, "d")[1] == Action("dump", 4913)
    assert after(shown, "q")[0].page is Page.MAIN
    assert after(shown, "k") == (replace(shown, message=""), None)


def test_the_end() -> None:
    assert after(View(), "q")[1] == Action("quit")
    assert after(View(), "escape")[1] == Action("quit")
    assert after(View(page=Page.HELP), "quit")[1] == Action("quit")
    assert after(View(asks=Action("kill", 1)), "quit")[1] == Action("quit")
    assert after(View(), "suspend")[1] == Action("suspend")


def test_before_anything_is_known() -> None:
    for key in ("up", "down", "d", "r", "k", "w", "enter", "s", "pagedown", "z"):
        view, action = pressed(View(), key, None, Extent())
        assert action is None
        assert view.asks is None


def test_a_message_goes_with_the_next_key() -> None:
    assert after(View(message="done"), "z")[0] == View()


def test_the_order_of_workers() -> None:
    workers = [
        replace(WORKER, pid=2, rate=None, cpu=0.5, memory=3, age=9.0, waiting=4),
        replace(WORKER, pid=1, rate=5.0, cpu=None, memory=2, age=7.0),
        replace(WORKER, pid=3, rate=5.0, busy=7, connections=99),
    ]
    found = {
        sort.name: [each.pid for each in sorted_workers(workers, View(worker_sort=place))]
        for place, sort in enumerate(WORKER_SORTS)
    }
    assert found == {
        "pid": [1, 2, 3],
        "req/s": [1, 3, 2],
        "busy": [3, 1, 2],
        "waiting": [2, 1, 3],
        "conns": [3, 1, 2],
        "cpu": [2, 3, 1],
        "memory": [3, 2, 1],
        "age": [3, 2, 1],
    }


def test_the_order_of_requests() -> None:
    requests = [
        replace(REQUEST, pid=3, target="/b", phase="client", client="b", seconds=1.0, sent=5),
        replace(REQUEST, pid=1, target="/c", phase="body", client="c", seconds=None, sent=9),
        replace(REQUEST, pid=2, target="/a", phase="waiting", client="a", seconds=7.0),
    ]
    found = {
        sort.name: [each.pid for each in sorted_requests(requests, View(request_sort=place))]
        for place, sort in enumerate(REQUEST_SORTS)
    }
    assert found == {
        "age": [2, 3, 1],
        "request": [2, 3, 1],
        "phase": [1, 3, 2],
        "client": [2, 3, 1],
        "pid": [1, 2, 3],
        "sent": [1, 3, 2],
    }
    assert [each.target for each in sorted_requests(many_requests(3), View())] == ["/0", "/1", "/2"]
