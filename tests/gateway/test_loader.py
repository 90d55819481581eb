"""Finding the application: all the ways to name it, and a line for each way to name it wrongly."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tricorn.gateway.loader import AppLoadError, load_application

Make = Callable[..., None]

SITE = """
import functools

def application(environ, start_response): return [b"application"]
def web(environ, start_response): return [b"web"]

class Server:
    wsgi_app = staticmethod(web)
    def __call__(self, environ, start_response): return [b"object"]
    def factory(self): return web

server = Server()
number = 7
nothing = None
bound = functools.partial(web)

class PerRequest:                                            # PEP 3333: the class itself is the application
    def __init__(self, environ, start_response): ...
    def __iter__(self): return iter([b"class"])

def create_app(name="default", *, debug=False):
    if name == "broken":
        raise TypeError("inside the factory")
    return lambda environ, start_response: [repr((name, debug)).encode()]

def create_with(name): return web
def returns_none(): return None
def returns_number(): return 5

async def asgi(scope, receive, send): ...
class Asgi:
    async def __call__(self, scope, receive, send): ...
asgi_object = Asgi()
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes modules into a directory that is on sys.path and is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(**modules: str) -> None:
        for name, text in modules.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def answer(app: Any) -> bytes:
    return b"".join(app({}, None))


@pytest.mark.parametrize(
    ("spec", "body"),
    [
        ("site_of_test:web", b"web"),
        ("site_of_test", b"application"),
        ("site_of_test:server", b"object"),
        ("site_of_test:server.wsgi_app", b"web"),
        ("site_of_test:server.factory()", b"web"),
        ("site_of_test:bound", b"web"),
        ("site_of_test:PerRequest", b"class"),
        ("site_of_test:create_app()", b"('default', False)"),
        ("site_of_test:create_app('x y:z', debug=True)", b"('x y:z', True)"),
        ("site_of_test.py:web", b"web"),
        ("./site_of_test.py", b"application"),
        ("pack.deep:app", b"deep"),
        ("pack.deep", b"deep"),
        ("pack/deep.py:app", b"deep"),
    ],
)
def test_finds(spec: str, body: bytes, make: Make) -> None:
    deep = "from . import NAME\nfrom pack import NAME\ndef app(environ, start_response): return [NAME]"
    make(site_of_test=SITE, pack____init__="", pack__deep=deep)
    Path("pack/__init__.py").write_text("NAME = b'deep'")
    assert answer(load_application(spec)) == body


def test_a_file_is_imported_under_the_name_that_its_package_uses(make: Make) -> None:
    make(elsewhere__pack2__deep2="def app(environ, start_response): return [__name__.encode()]")
    Path("elsewhere/pack2/__init__.py").write_text("")
    assert answer(load_application("elsewhere/pack2/deep2.py:app")) == b"pack2.deep2"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "'' is not an application: write module:attribute"),
        (":app", "':app' is not an application"),
        ("site_of_test:", "'site_of_test:' is not an application"),
        (
            "no_such_module:app",
            "there is no module 'no_such_module'; it is looked for in the working directory",
        ),
        ("no_such.deep:app", "there is no module 'no_such', so 'no_such.deep' cannot be imported"),
        ("email.no_such:app", "there is no module 'email.no_such' in package 'email'"),
        ("site_of_test.deep:app", "there is no module 'site_of_test.deep': 'site_of_test' is no package"),
        ("no/such.py:app", "there is no file 'no/such.py'"),
        ("no/such:app", "there is no file 'no/such'; for a module write no.such"),
        ("json.py:app", "cannot be imported as 'json': the name belongs to the module from "),
        ("site_of_test:wep", "module 'site_of_test' has no attribute 'wep'; did you mean web?"),
        ("site_of_test:zzzzzz", "module 'site_of_test' has no attribute 'zzzzzz'"),
        ("site_of_test:server.wsgi_ap", "'server' has no attribute 'wsgi_ap'; did you mean wsgi_app?"),
        ("empty", "module 'empty' has neither 'application' nor 'app'; write empty:NAME"),
        ("site_of_test:number", "'site_of_test:number' is not callable, it is of type 'int'"),
        ("site_of_test:nothing", "is not callable, it is None"),
        ("site_of_test:functools", "is not callable, it is the module 'functools'"),
        ("site_of_test:number()", "'number' cannot be called, it is of type 'int'"),
        (
            "site_of_test:create_with()",
            "create_with() cannot be called like this: missing a required argument: 'name'",
        ),
        ("site_of_test:create_app(1, 2)", "too many positional arguments"),
        ("site_of_test:create_app(nam='x')", "got an unexpected keyword argument 'nam'"),
        ("site_of_test:create_app(name)", "arguments of a factory must be literals"),
        ("site_of_test:create_app(**{})", "arguments of a factory must be literals"),
        ("site_of_test:create_app({[]: 1})", "arguments of a factory must be literals"),
        ("site_of_test:returns_none()", "the factory returned None instead of an application"),
        ("site_of_test:returns_number()", "is not callable, it is of type 'int'"),
        (
            "site_of_test:returns_none",
            "too many positional arguments; if it is a factory, write 'site_of_test:returns",
        ),
        ("site_of_test:a b", "'a b' is neither an attribute nor a call of a factory"),
        ("site_of_test:web[0]", "'web[0]' is neither an attribute nor a call of a factory"),
        ("site_of_test:'web'()", "is neither an attribute nor a call of a factory"),
        (
            "site_of_test:asgi",
            "'site_of_test:asgi' is an ASGI application; this version of Tricorn has WSGI workers",
        ),
        ("site_of_test:asgi_object", "is an ASGI application"),
        ("site_of_test:Asgi", "is an ASGI application"),
        ("exits", "module 'exits' called sys.exit(3) while it was imported"),
    ],
)
def test_refuses_in_one_line(spec: str, said: str, make: Make) -> None:
    make(site_of_test=SITE, empty="", json="", exits="import sys; sys.exit(3)")
    with pytest.raises(AppLoadError) as caught:
        load_application(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("import not_installed_here", ModuleNotFoundError, "import not_installed_here"),
        ("from json import no_such_name", ImportError, "from json import no_such_name"),
        ("def early():\n    return 1 / 0\nearly()", ZeroDivisionError, "return 1 / 0"),
    ],
)
def test_exceptions_of_the_application_keep_their_traceback(
    text: str, error: type[Exception], line: str, make: Make
) -> None:
    make(raises_inside=text)
    with pytest.raises(error) as caught:
        load_application("raises_inside:app")
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].line == line
    assert frames[-1].filename.endswith("raises_inside.py")


def test_a_syntax_error_of_the_application_passes_through(make: Make) -> None:
    make(syntax_of_test="def app(:\n")
    with pytest.raises(SyntaxError):
        load_application("syntax_of_test:app")


def test_a_type_error_inside_a_factory_is_the_applications_own(make: Make) -> None:
    make(site_of_test=SITE)
    with pytest.raises(TypeError, match="inside the factory"):
        load_application("site_of_test:create_app('broken')")
