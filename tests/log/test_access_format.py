"""Access log formats: what compiles, and what a wrong one should have been."""

from __future__ import annotations

import pytest

from tricorn.log.access_format import ATOMS, COMBINED, compile_format, environ_key, unknown_atoms


def test_literals_are_joined() -> None:
    assert [step.text for step in compile_format("100%% of %(l)s %%")] == ["100% of - %"]


def test_every_atom_compiles() -> None:
    assert len(compile_format(" ".join(f"%({atom})s" for atom in ATOMS))) > len(ATOMS)
    assert compile_format(COMBINED)
    assert compile_format("") == []


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("X-Request-Id", "HTTP_X_REQUEST_ID"),
        ("content-type", "CONTENT_TYPE"),
        ("Content-Length", "CONTENT_LENGTH"),
    ],
)
def test_header_names_become_environ_keys(header: str, key: str) -> None:
    assert environ_key(header) == key
    assert compile_format(f"%({{{header}}}i)s")[0].key == key


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("50% of", "write %% for a percent sign"),
        ("at the end %", "write %% for a percent sign"),
        ("%h %l", "write %% for a percent sign"),
        ("%(h", "no closing"),
        ("%(h)", r"write %\(h\)s"),
        ("%(h)r", r"write %\(h\)s"),
        ("%(s)5s", r"widths.*write %\(s\)s"),
        ("%(h)d", "is not a number"),
        ("a\nb", "one line"),
    ],
)
def test_a_bad_format_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        compile_format(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("%(z)s", "the atoms are a b B D"),
        ("%()s", "the atoms are"),
        ("%(User-Agent)s", "write %({User-Agent}i)s"),
        ("%({x}z)s", "the atoms are"),
        ("%({}i)s", "the atoms are"),
        ("%(zz)d", "write %({zz}i)s"),
    ],
)
def test_an_unknown_atom_is_a_dash_and_is_told(text: str, hint: str) -> None:
    assert [step.text for step in compile_format(f"<{text}>")] == ["<->"]
    (said,) = unknown_atoms(text)
    assert said.startswith(f"{text[:-1]}s is no atom")
    assert hint in said
    assert unknown_atoms(f"{COMBINED} %%(z)s") == unknown_atoms("json") == []
