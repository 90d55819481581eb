"""Reading options, and the text of --help."""

from __future__ import annotations

import pytest

from tricorn.config.commandline import WIDTH, help_text, maybe_words, read_options
from tricorn.config.errors import ConfigError
from tricorn.config.gunicorn import MISSING_FLAGS
from tricorn.config.settings import SETTINGS


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {}),
        (["app:app"], {"wsgi_app": "app:app"}),
        (["-w4", "app:app", "--threads", "2"], {"workers": "4", "wsgi_app": "app:app", "threads": "2"}),
        (["-w", "4"], {"workers": "4"}),
        (["-w=4"], {"workers": "4"}),
        (["--workers=4"], {"workers": "4"}),
        (["--workers", "-1"], {"workers": "-1"}),
        (["--access-logfile", "-"], {"accesslog": "-"}),
        (["--server-header="], {"server_header": ""}),
        (["--pid=-x"], {"pidfile": "-x"}),
        (["-b", "a:1", "--bind=b:2"], {"bind": ["a:1", "b:2"]}),
        (["-e", "A=1", "-e", "B=2 3"], {"raw_env": ["A=1", "B=2 3"]}),
        (["-w", "1", "-w", "2"], {"workers": "2"}),
        (["--preload", "app:app"], {"preload_app": "true", "wsgi_app": "app:app"}),
        (["--no-sendfile"], {"sendfile": "false"}),
        (["--proxy-protocol", "app:app"], {"proxy_protocol": "auto", "wsgi_app": "app:app"}),
        (["--proxy-protocol", "v1"], {"proxy_protocol": "v1"}),
        (["--proxy-protocol=v2"], {"proxy_protocol": "v2"}),
        (["--proxy-protocol"], {"proxy_protocol": "auto"}),
        (["--limit-request-field_size", "9"], {"limit_request_field_size": "9"}),
        (["--", "app:app"], {"wsgi_app": "app:app"}),
    ],
)
def test_reads(words: list[str], values: dict[str, object]) -> None:
    options = read_options(words, "command line")
    assert options.values == values
    assert options.warnings == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--worker", "4"], "--worker: there is no such option (command line); did you mean --workers"),
        (["--accesslog", "-"], "did you mean --access-logfile?"),
        (["--keepalive=2"], "did you mean --keep-alive?"),
        (["--no-preloat"], "did you mean --no-preload"),
        (["--zzzzzz"], "see tricorn --help"),
        (["-z"], "-z: there is no such option"),
        (["--workers"], "--workers: needs a value (command line)"),
        (["--pid", "--preload"], "--pid: needs a value (command line); write --pid=VALUE if"),
        (["a:a", "b:b"], "b:b: is a second application, after 'a:a' (command line); only one can be given"),
        (
            ["--no-preload=1"],
            "--no-preload: does not take a value (command line); write --no-preload or --preload=1",
        ),
        (["--work", "4"], "--work: there is no such option"),  # the beginning of several
        (["--server-head", "x"], "--server-head: there is no such option"),  # of none of Gunicorn's
    ],
)
def test_refuses(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(words, "command line")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--ssl-version", "5", "app:app"],
        ["--ssl-version=5", "app:app"],
        ["--permit-obsolete-folding", "app:app"],
    ],
)
def test_warns_of_an_option_that_can_be_left_out(words: list[str]) -> None:
    options = read_options(words, "command line")
    assert options.values == {"wsgi_app": "app:app"}
    assert len(options.warnings) == 1
    assert "is ignored (command line)" in options.warnings[0]


@pytest.mark.parametrize(
    "words",
    [
        ["--http-parser", "auto"],
        ["--ssl-version=2"],
    ],
)
def test_says_nothing_of_an_option_that_asks_for_what_we_do(words: list[str]) -> None:
    options = read_options([*words, "app:app"], "command line")
    assert options.values == {"wsgi_app": "app:app"}
    assert options.warnings == []
    assert options.notes == []


@pytest.mark.parametrize("words", [["--initgroups"], ["--worker-tmp-dir", "/dev/shm"]])
def test_notes_an_option_that_has_nothing_to_do(words: list[str]) -> None:
    options = read_options([*words, "app:app"], "command line")
    assert options.values == {"wsgi_app": "app:app"}
    assert options.warnings == []
    assert len(options.notes) == 1
    assert options.notes[0].startswith(f"{words[0]} has no effect (command line): ")


def test_an_abbreviation_of_an_option_of_gunicorns_is_understood() -> None:
    options = read_options(["--thread", "4", "--log-lev=debug", "--init", "app:app"], "command line")
    assert options.values == {"threads": "4", "loglevel": "debug", "wsgi_app": "app:app"}
    assert options.warnings[0] == "--thread is read as --threads (command line); write it in full"
    assert len(options.warnings) == 3
    assert len(options.notes) == 1


@pytest.mark.parametrize(
    ("words", "asked"), [(["-h"], "Usage"), (["x", "--help"], "Usage"), (["-v"], "tricorn 0")]
)
def test_help_and_version(words: list[str], asked: str) -> None:
    assert asked in str(maybe_words(words))


@pytest.mark.parametrize("words", [[], ["app"], ["--", "--help"]])
def test_no_help_unless_asked_for(words: list[str]) -> None:
    assert maybe_words(words) is None


def test_help_names_every_option_and_fits_the_screen() -> None:
    text = help_text()
    for declared in SETTINGS.values():
        for flag in declared.flags:
            assert flag in text or f"--[no-]{flag.removeprefix('--')}" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_missing_options_are_not_suggested() -> None:
    """The nearest name of a typo must be something that works."""
    with pytest.raises(ConfigError) as caught:
        read_options(["--certfilee", "x"], "command line")
    assert not any(flag in caught.value.hint for flag in MISSING_FLAGS)
