"""Finding the application: all the ways to name it, and a line for each way to name it wrongly."""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tricorn.gateway.loader import AppLoadError, Interface, kind_of, load_application, maybe_kind_of

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
def create_asgi(): return Asgi()
async def create_awaiting(): return Asgi()
def create_coroutine(): return create_awaiting()
async def half(environ, start_response): ...

def double(scope):                                           # ASGI 2.0
    async def instance(receive, send): ...
    return instance
class Double:
    def __init__(self, scope): ...
    async def __call__(self, receive, send): ...
class Middleware:
    def __init__(self, app, scope): ...
    async def __call__(self, receive, send): ...
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
            "there is no module 'no_such_module'; Tricorn looks in the working directory",
        ),
        ("no_such.deep:app", "there is no module 'no_such', so 'no_such.deep' cannot be imported"),
        ("email.no_such:app", "there is no module 'email.no_such' in package 'email'"),
        ("site_of_test.deep:app", "there is no module 'site_of_test.deep': 'site_of_test' is not a package"),
        ("no/such.py:app", "there is no file 'no/such.py'"),
        ("no/such:app", "there is no file 'no/such'; for a module write no.such"),
        ("json.py:app", "cannot be imported as 'json': the name belongs to the module from "),
        ("site_of_test:wep", "module 'site_of_test' has no attribute 'wep'; did you mean web?"),
        ("site_of_test:zzzzzz", "module 'site_of_test' has no attribute 'zzzzzz'"),
        ("site_of_test:server.wsgi_ap", "'server' has no attribute 'wsgi_ap'; did you mean wsgi_app?"),
        ("empty", "module 'empty' has neither 'application' nor 'app'; write empty:NAME"),
        ("site_of_test:number", "'site_of_test:number' is not callable: it is of type 'int'"),
        ("site_of_test:nothing", "is not callable: it is None"),
        ("site_of_test:functools", "is not callable: it is the module 'functools'"),
        ("site_of_test:number()", "'number' cannot be called: it is of type 'int'"),
        (
            "site_of_test:create_with()",
            "create_with() cannot be called with these arguments: missing a required argument: 'name'",
        ),
        ("site_of_test:create_app(1, 2)", "too many positional arguments"),
        ("site_of_test:create_app(nam='x')", "got an unexpected keyword argument 'nam'"),
        ("site_of_test:create_app(name)", "arguments of a factory must be literals"),
        ("site_of_test:create_app(**{})", "arguments of a factory must be literals"),
        ("site_of_test:create_app({[]: 1})", "arguments of a factory must be literals"),
        ("site_of_test:returns_none()", "the factory returned None instead of an application"),
        ("site_of_test:returns_number()", "is not callable: it is of type 'int'"),
        (
            "site_of_test:returns_none",
            "too many positional arguments; if it is a factory, write 'site_of_test:returns",
        ),
        ("site_of_test:a b", "'a b' is neither an attribute nor a factory call"),
        ("site_of_test:web[0]", "'web[0]' is neither an attribute nor a factory call"),
        ("site_of_test:'web'()", "is neither an attribute nor a factory call"),
        ("site_of_test:Asgi", "if it is a factory, write 'site_of_test:Asgi()'"),
        ("site_of_test:create_asgi", "if it is a factory, write 'site_of_test:create_asgi()'"),
        (
            "site_of_test:create_awaiting",
            "if it is a factory, write it as a plain function (def) and name it as 'site_of_test:create_awai",
        ),
        (
            "site_of_test:create_awaiting()",
            "the factory is a coroutine function, but no event loop is running yet",
        ),
        (
            "site_of_test:create_coroutine()",
            "the factory is a coroutine function, but no event loop is running",
        ),
        (
            "site_of_test:asgi()",
            "asgi() cannot be called with these arguments: missing a required argument: 'scope'",
        ),
        (
            "site_of_test:half",
            "cannot be called with (scope, receive, send): too many positional arguments",
        ),
        (
            "site_of_test:create_with",
            "cannot be called with (environ, start_response) or (scope, receive, send): too many",
        ),
        (
            "site_of_test:double",
            "is an ASGI 2 application, which takes only the scope; wrap it in asgiref.comp",
        ),
        ("site_of_test:Double", "asgiref.compatibility.guarantee_single_callable"),
        ("site_of_test:Middleware()", "missing a required argument: 'app'"),
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


@pytest.mark.parametrize(
    "spec", ["site_of_test:asgi", "site_of_test:Asgi()", "site_of_test:create_asgi()", "site_of_test.py:asgi"]
)
def test_finds_asgi_in_the_same_ways(spec: str, make: Make) -> None:
    make(site_of_test=SITE)
    assert kind_of(load_application(spec)) is Interface.ASGI


def test_an_awaitable_from_a_factory_leaves_no_warning(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    make(site_of_test=SITE)
    with pytest.raises(AppLoadError):
        load_application("site_of_test:create_coroutine()")
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


# ------------------------------------------------------------------------------------- WSGI or ASGI


def wsgi(environ: Any, start_response: Any) -> Any: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def two(a: Any, b: Any) -> Any: ...
def three(a: Any, b: Any, c: Any) -> Any: ...
def named_three(name: Any, environ: Any, start: Any) -> Any: ...
def wsgi_and_more(environ: Any, start_response: Any, more: Any = None) -> Any: ...
def env_and_more(env: Any, *more: Any) -> Any: ...
def scope_and_more(scope: Any, receive: Any = None, send: Any = None) -> Any: ...
def anything(*args: Any) -> Any: ...


async def async_anything(*args: Any) -> None: ...


class AsyncAnything:
    async def __call__(self, *args: Any) -> None: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...
    def method(self, environ: Any, start_response: Any) -> Any: ...


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiClass:
    """As Starlette's HTTPEndpoint: the class is the application, and what it makes is awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Any: ...


class ChoosesItsCall:
    """As Sentry's middleware: each object carries a __call__ of its own."""

    __slots__ = ("__call__",)

    def __init__(self, call: Any) -> None:
        self.__call__ = call


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(function: Any) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def adapted(app: Any) -> Any:
    @functools.wraps(app)
    def wsgi_of_asgi(environ: Any, start_response: Any) -> Any: ...

    return wsgi_of_asgi


APPLICATIONS: dict[str, tuple[Any, Interface]] = {
    "a function": (wsgi, Interface.WSGI),
    "an async function": (asgi, Interface.ASGI),
    "an object": (Wsgi(), Interface.WSGI),
    "an async object": (Asgi(), Interface.ASGI),
    "a method": (Wsgi().method, Interface.WSGI),
    "an async method": (Asgi().method, Interface.ASGI),
    "a bound __call__": (Asgi().__call__, Interface.ASGI),
    "a class": (WsgiClass, Interface.WSGI),
    "an ASGI class": (AsgiClass, Interface.ASGI),
    "a partial": (functools.partial(wsgi), Interface.WSGI),
    "a partial of an async function": (functools.partial(asgi), Interface.ASGI),
    "a partial of a partial of an async object": (
        functools.partial(functools.partial(Asgi())),
        Interface.ASGI,
    ),
    "a partial that gives an argument": (functools.partial(named_three, "a"), Interface.WSGI),
    "three under other names": (three, Interface.ASGI),
    "two under other names": (two, Interface.WSGI),
    "a third that need not be given": (wsgi_and_more, Interface.WSGI),
    "arguments that need not be given": (scope_and_more, Interface.ASGI),
    "env": (env_and_more, Interface.WSGI),
    "decorated": (logged(wsgi), Interface.WSGI),
    "an async function, decorated": (logged(asgi), Interface.ASGI),
    "an async object, decorated": (logged(Asgi().__call__), Interface.ASGI),
    "an adapter that wraps the other kind": (adapted(asgi), Interface.WSGI),
    "its own async __call__": (ChoosesItsCall(async_anything), Interface.ASGI),
    "an async function of anything": (async_anything, Interface.ASGI),
    "a partial of an async object of anything": (functools.partial(AsyncAnything(), 1), Interface.ASGI),
}


@pytest.mark.parametrize(("app", "kind"), APPLICATIONS.values(), ids=APPLICATIONS)
def test_tells_the_kinds_apart(app: Any, kind: Interface) -> None:
    assert maybe_kind_of(app) is kind


@pytest.mark.parametrize("app", [bare(wsgi), bare(asgi), anything, ChoosesItsCall(bare(wsgi))])
def test_what_takes_anything_is_taken_for_wsgi(app: Any) -> None:
    assert maybe_kind_of(app) is None
    assert kind_of(app) is Interface.WSGI


FRAMEWORKS = {
    "starlette": ("from starlette.applications import Starlette\napp = Starlette()", Interface.ASGI),
    "starlette with middleware": (
        "from starlette.applications import Starlette\nfrom starlette.middleware.gzip import GZipMiddleware\n"
        "app = GZipMiddleware(Starlette())",
        Interface.ASGI,
    ),
    "starlette endpoint": ("from starlette.endpoints import HTTPEndpoint as app", Interface.ASGI),
    "fastapi": ("from fastapi import FastAPI\napp = FastAPI()", Interface.ASGI),
    "quart": ("from quart import Quart\napp = Quart(__name__)", Interface.ASGI),
    "litestar": ("from litestar import Litestar\napp = Litestar(logging_config=None)", Interface.ASGI),
    "channels": (
        "from channels.routing import ProtocolTypeRouter\napp = ProtocolTypeRouter({})",
        Interface.ASGI,
    ),
    "django asgi": (
        "from django.core.handlers.asgi import ASGIHandler\napp = ASGIHandler.__new__(ASGIHandler)",
        Interface.ASGI,
    ),
    "django wsgi": (
        "from django.core.handlers.wsgi import WSGIHandler\napp = WSGIHandler.__new__(WSGIHandler)",
        Interface.WSGI,
    ),
    "flask": ("from flask import Flask\napp = Flask(__name__)", Interface.WSGI),
    "bottle": ("from bottle import Bottle\napp = Bottle()", Interface.WSGI),
    "asgiref, to ASGI": (
        "from asgiref.wsgi import WsgiToAsgi\napp = WsgiToAsgi(lambda environ, start: [])",
        Interface.ASGI,
    ),
    "asgiref, from ASGI 2": (
        "from asgiref.compatibility import guarantee_single_callable\n"
        "app = guarantee_single_callable(lambda scope: None)",
        Interface.ASGI,
    ),
}


@pytest.mark.parametrize(("text", "kind"), FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_knows_the_frameworks(text: str, kind: Interface, make: Make) -> None:
    make(framework_of_test=text)
    assert maybe_kind_of(load_application("framework_of_test")) is kind
