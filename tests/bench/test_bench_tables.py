"""The tables of servers and scenarios fit together."""

import subprocess

import pytest

from bench import options, paths, scenarios, servers, targets
from bench.servers import Launch


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda s: s.name)
def test_a_scenario_names_files_that_exist(scenario):
    assert (paths.APPS / f"{scenario.launch.app}.py").exists()
    assert not scenario.script or (paths.BENCH / "wrk" / scenario.script).exists()
    assert all(": " in header for header in scenario.headers)


def test_every_target_is_about_contestants_of_its_scenario():
    for target in targets.TARGETS:
        keys = {entry.key for entry in scenarios.by_name(target.scenario).entries}
        against = target.against or target.own
        assert target.own in keys
        assert against in keys or against in targets.GROUPS


def test_a_command_is_made_for_its_scenario():
    launch = Launch("hello", threads=8, access_log=True, idle=True)
    words = servers.command(servers.find("wsgi", "gunicorn-gthread"), launch, 4711)
    wanted = "--access-logfile - --keep-alive 300 --worker-connections 20000 hello:app"
    assert " ".join(words).endswith(wanted)
    assert words[words.index("--threads") + 1] == "8"
    assert "127.0.0.1:4711" in words


def test_files_are_sent_by_their_path_where_a_server_can():
    command = servers.command(servers.find("asgi", "tricorn"), scenarios.by_name("asgi-file-1mb").launch, 1)
    settings = subprocess.run(
        [*command, "--print-config"], cwd=paths.APPS, capture_output=True, text=True, timeout=20, check=True
    )
    assert "http.response.pathsend" in settings.stdout


def test_over_tls_are_those_that_speak_it_with_the_certificate_of_the_bench():
    found = [s for s in scenarios.SCENARIOS if s.launch.tls]
    assert found == [s for s in scenarios.SCENARIOS if "tls-" in s.name]
    for scenario in found:
        assert {"tricorn", "weft", "peregrine", "granian"} <= {e.server for e in scenario.entries}
        for entry in scenario.entries:
            assert scenario.server(entry).tls
            command = servers.command(scenario.server(entry), scenario.launch_of(entry), 1)
            assert {str(paths.CERTIFICATE), str(paths.KEY)} <= set(command)


def test_both_interfaces_are_asked_the_same_over_tls():
    """Threads are a matter of WSGI alone."""
    wsgi, asgi = (
        {s.name.removeprefix("asgi-"): (s.title, s.handshake, s.kind) for s in group if "tls-" in s.name}
        for group in (scenarios.WSGI_SCENARIOS, scenarios.ASGI_SCENARIOS)
    )
    assert wsgi.pop("tls-threads-8-hello")
    assert wsgi == asgi


def test_what_is_asked_over_tls_has_a_target():
    """An idle connection has none: it is only measured beside the peers'."""
    asked = {s.name for s in scenarios.SCENARIOS if s.launch.tls and s.kind != "idle"}
    assert asked <= {target.scenario for target in targets.TARGETS}


def test_without_tls_no_server_gets_a_certificate():
    for server in servers.table():
        assert str(paths.CERTIFICATE) not in servers.command(server, Launch("hello"), 1)


def test_a_handshake_is_asked_of_each_connection():
    found = [s for s in scenarios.SCENARIOS if s.handshake]
    assert {(s.interface, s.handshake) for s in found} == {
        (interface, kind) for interface in servers.INTERFACES for kind in scenarios.Handshake
    }
    assert all(s.launch.tls and "Connection: close" in s.headers for s in found)


def test_a_server_that_needs_no_pool_for_one_thread_has_none():
    weft = servers.find("wsgi", "weft")
    for threads, pool in ((1, "0"), (8, "8")):
        words = servers.command(weft, Launch("hello", threads=threads), 1)
        assert words[words.index("--wsgi-threads") + 1] == pool


def test_a_server_that_logs_by_default_is_told_not_to():
    uwsgi = servers.find("wsgi", "uwsgi")
    assert "--disable-logging" in servers.command(uwsgi, Launch("hello"), 1)
    assert "--disable-logging" not in servers.command(uwsgi, Launch("hello", access_log=True), 1)


def test_a_quick_run_does_not_touch_the_results():
    quick = options.parse(["--quick"])
    assert (quick.rounds, quick.seconds) == (1, 1)
    assert paths.DOCS not in (quick.out, *quick.out.parents)
    assert quick.results != options.parse([]).results


def test_one_server_is_measured_beside_the_floors():
    assert options.parse(["--server", "tricorn"]).servers == {"tricorn", "floor", "uvloop floor", "nginx"}


def test_files_are_asked_of_those_that_answer_from_a_directory():
    scenario = scenarios.by_name("static-10k")
    assert {e.server for e in scenario.entries} == {"nginx", "tricorn", "granian", "peregrine", "weft"}
    for entry in scenario.entries:
        assert str(paths.FILES) in " ".join(
            servers.command(scenario.server(entry), scenario.launch_of(entry), 1)
        )


def test_a_group_is_the_scenarios_of_one_interface():
    wsgi, asgi, other = (options.parse(["--group", name]).todo for name in servers.GROUPS)
    assert {s.interface for s in asgi} == {"asgi"}
    assert wsgi + asgi + other == list(scenarios.SCENARIOS) == options.parse([]).todo


def test_a_server_may_have_both_interfaces():
    wsgi, asgi = (servers.find(interface, "granian") for interface in servers.INTERFACES)
    assert wsgi.ident != asgi.ident
    assert servers.command(wsgi, Launch("hello"), 1) != servers.command(asgi, Launch("hello"), 1)
    assert servers.names().count("granian") == 1


def test_only_servers_that_compress_meet_compressed_messages():
    entries = scenarios.by_name("asgi-websocket-deflate").entries
    assert {"tricorn", "uvicorn"} <= {e.server for e in entries}
    assert all(servers.find("asgi", e.server).deflate for e in entries)
