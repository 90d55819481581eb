"""What wrk prints, read."""

import subprocess

import pytest

from bench import wrk
from bench.scenarios import by_name

OUTPUT = """\
Running 3s test @ http://127.0.0.1:20931/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   334.90us  131.38us   4.55ms   92.71%
    Req/Sec    94.83k     5.25k  104.30k    76.67%
  Latency Distribution
     50%  312.00us
     75%  370.00us
     90%    1.20ms
     99%    1.02s
  283047 requests in 3.00s, 39.95MB read
Requests/sec:  94291.93
Transfer/sec:     13.31MB
"""


def test_the_figures_are_read_in_milliseconds():
    result = wrk.parse(OUTPUT)
    assert (result.requests, result.per_second) == (283047, 94291.93)
    assert (result.p50_ms, result.p99_ms) == pytest.approx((0.312, 1020))
    assert result.failures == 0


def test_socket_errors_and_refusals_are_failures():
    text = OUTPUT.replace(
        "Requests/sec",
        "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"
        "  Non-2xx or 3xx responses: 50000\nRequests/sec",
    )
    assert wrk.parse(text).failures == 54321


def test_resumed_sessions_are_counted_where_the_client_says_so():
    assert wrk.parse(OUTPUT).resumed == 0
    assert wrk.parse(f"  Resumed sessions: 1234\n{OUTPUT}").resumed == 1234


class Asked:
    """Takes the place of a run of wrk."""

    def __init__(self):
        self.command = []

    def __call__(self, command, **_):
        self.command = command
        return subprocess.CompletedProcess(command, 0, OUTPUT, "")


@pytest.mark.parametrize(
    ("name", "url"),
    [("get-1-header", "http://127.0.0.1:4711/"), ("tls-get-1-header", "https://127.0.0.1:4711/")],
)
def test_the_address_says_whether_tls_is_spoken(monkeypatch, name, url):
    asked = Asked()
    monkeypatch.setattr(wrk.subprocess, "run", asked)
    assert wrk.run(by_name(name), 4711, 1).requests == 283047
    assert asked.command[-1] == url


def test_output_without_a_result_is_an_error():
    with pytest.raises(wrk.WrkError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")
