"""From the text on the command line to the application: `module:app`, `module:create_app("x")`, `app.py:app`.

Knows: how an application is named, what Python says when it is not there, and how WSGI and ASGI applications
can be told apart. Must not know: settings, workers, logs. Like the whole room it does no I/O, with one
exception that is its purpose: it imports. The caller has put the right directories on sys.path.

Two kinds of failure leave this file. AppLoadError: the name is wrong, and one line says how. Everything else
is the application's own exception and passes through as it is, with its traceback.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tricorn.records import dataclass

#: Tried in this order when the spec names a module only.
DEFAULT_ATTRIBUTES = ("application", "app")


class Interface(Enum):
    """How a server and an application talk to each other. The value is the name that people know."""

    WSGI = "WSGI"
    ASGI = "ASGI"
    TORNADO = "Tornado"


class AppLoadError(Exception):
    """The application cannot be found, or what was found is none. The text is one line for the user."""


@dataclass(frozen=True)
class Target:
    """What stands behind the colon: the attribute's path, and the arguments if it is a factory."""

    path: tuple[str, ...]
    is_factory: bool = False
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    @property
    def dotted(self) -> str:
        return ".".join(self.path)


def load_application(spec: str) -> Callable[..., Any]:
    """The application that `spec` names. Raises AppLoadError, or what the application raises."""
    where, target = parse(spec)
    module = import_file(where) if is_path(where) else import_module(where)
    found = attribute(module, target if target is not None else default_target(module))
    if target is not None and target.is_factory:
        found = made_by(found, target, spec)
    return checked(found, spec)


# ------------------------------------------------------------------------------------ reading the spec


def is_path(where: str) -> bool:
    return where.endswith(".py") or "/" in where


def parse(spec: str) -> tuple[str, Target | None]:
    where, colon, expression = spec.partition(":")
    if not where or (colon and not expression):
        raise AppLoadError(
            f"{spec!r} is not an application: write module:attribute, for example mysite.wsgi:app"
        )
    return where, parse_target(expression) if colon else None


def parse_target(expression: str) -> Target:
    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise AppLoadError(
            f"{expression!r} is neither an attribute nor a factory call: write NAME or 'NAME()'"
        ) from error
    if not isinstance(node, ast.Call):
        return Target(attribute_path(node, expression))
    try:
        args = tuple(ast.literal_eval(argument) for argument in node.args)
        kwargs = tuple((literal_name(keyword), ast.literal_eval(keyword.value)) for keyword in node.keywords)
    except (ValueError, TypeError) as error:
        raise AppLoadError(
            f"{expression!r}: the arguments of a factory must be literals, such as 'text', 1, True, [1, 2]"
        ) from error
    return Target(attribute_path(node.func, expression), True, args, kwargs)


def attribute_path(node: ast.expr, expression: str) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (*attribute_path(node.value, expression), node.attr)
    if isinstance(node, ast.Name):
        return (node.id,)
    raise AppLoadError(f"{expression!r} is neither an attribute nor a factory call: write NAME or 'NAME()'")


def literal_name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError("** is not a literal")
    return keyword.arg


# ----------------------------------------------------------------------------------------- importing


def import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if the module itself, or a package that it lies in, is what was not found. An import that fails
        # inside the application is the application's error.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise AppLoadError(not_found(name, error.name)) from None
    except SystemExit as error:
        raise AppLoadError(
            f"module {name!r} called sys.exit({error.code!r}) while it was imported"
        ) from error


def not_found(name: str, missing: str) -> str:
    parent = missing.rpartition(".")[0]
    text = f"there is no module {missing!r}"
    if parent:
        is_package = hasattr(sys.modules.get(parent), "__path__")
        text += f" in package {parent!r}" if is_package else f": {parent!r} is not a package"
    elif missing != name:
        text += f", so {name!r} cannot be imported"
    return (
        f"{text}; Tricorn looks in the working directory (--chdir), in --pythonpath and in Python's own path"
    )


def import_file(where: str) -> ModuleType:
    """Imports path/to/package/file.py as package.file: under the name that its own imports expect."""
    path = Path(where).absolute()
    if not path.is_file():
        hint = f"; for a module write {where.replace('/', '.')}" if not where.endswith(".py") else ""
        raise AppLoadError(f"there is no file {where!r}{hint}")
    parts = [] if path.stem == "__init__" else [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    module = import_module(name)
    loaded_from = getattr(module, "__file__", None)
    if loaded_from is None or not path.samefile(loaded_from):
        taken = f"the module from {loaded_from}" if loaded_from else "a built-in module"
        raise AppLoadError(
            f"{where!r} cannot be imported as {name!r}: the name belongs to {taken}; rename the file"
        )
    return module


# ------------------------------------------------------------------------------- finding the application


def default_target(module: ModuleType) -> Target:
    for name in DEFAULT_ATTRIBUTES:
        if hasattr(module, name):
            return Target((name,))
    raise AppLoadError(
        f"module {module.__name__!r} has neither 'application' nor 'app'; write {module.__name__}:NAME"
    )


def attribute(module: ModuleType, target: Target) -> Any:
    found: Any = module
    seen = f"module {module.__name__!r}"
    for index, name in enumerate(target.path):
        if not hasattr(found, name):
            from difflib import get_close_matches  # in most starts nothing is missing

            near = get_close_matches(name, [entry for entry in dir(found) if not entry.startswith("__")], n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise AppLoadError(f"{seen} has no attribute {name!r}{hint}")
        found = getattr(found, name)
        seen = repr(".".join(target.path[: index + 1]))
    return found


def made_by(factory: Any, target: Target, spec: str) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{spec!r}: {target.dotted!r} cannot be called: it is {described(factory)}")
    kwargs = dict(target.kwargs)
    if problem := maybe_unfit(factory, target.args, kwargs):
        raise AppLoadError(f"{spec!r}: {target.dotted}() cannot be called with these arguments: {problem}")
    made = None if is_async(factory) else factory(*target.args, **kwargs)
    if inspect.iscoroutine(made):
        made.close()  # else Python warns that nobody awaited it
    if is_async(factory) or inspect.iscoroutine(made):
        raise AppLoadError(
            f"{spec!r}: the factory is a coroutine function, but no event loop is running yet; write it as a "
            "plain function (def), and move what must be awaited to the application's lifespan"
        )
    if made is None:
        raise AppLoadError(f"{spec!r}: the factory returned None instead of an application")
    return made


def maybe_unfit(
    function: Any, args: Collection[Any], kwargs: dict[str, Any] | None = None, *, unwrap: bool = True
) -> str | None:
    """Why the arguments do not fit, asked before the call: a TypeError from inside the call would be the
    application's own. None if they fit, or if the function does not tell (some built-in ones).

    unwrap: ask the function that a decorator says it wraps (functools.wraps).
    """
    try:
        signature = inspect.signature(function, follow_wrapped=unwrap)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*args, **(kwargs or {}))
    except TypeError as error:
        return str(error)
    return None


# ------------------------------------------------------------------------------------- WSGI or ASGI

WSGI_CALL = ("environ", "start_response")  # PEP 3333
ASGI_CALL = ("scope", "receive", "send")  # ASGI 3.0, "Applications"

#: (takes two positional arguments, takes three) → what that means by itself. Both: the names decide.
MEANINGS = {(True, False): Interface.WSGI, (False, True): Interface.ASGI}


def checked(app: Any, spec: str) -> Callable[..., Any]:
    """The application, if it can be called in one of the two ways, or is Tornado's."""
    if is_tornado(app):
        served: Callable[..., Any] = app
        return served
    if not callable(app):
        raise AppLoadError(f"{spec!r} is not callable: it is {described(app)}")
    fits_wsgi = not is_async(app) and maybe_unfit(app, WSGI_CALL) is None
    if not fits_wsgi and maybe_unfit(app, ASGI_CALL) is not None:
        raise AppLoadError(f"{spec!r} {not_an_application(app, spec)}")
    application: Callable[..., Any] = app
    return application


def not_an_application(app: Any, spec: str) -> str:
    if is_double_callable(app):
        return (
            "is an ASGI 2 application, which takes only the scope; wrap it in "
            "asgiref.compatibility.guarantee_single_callable(…)"
        )
    expected = [ASGI_CALL] if is_async(app) else [WSGI_CALL, ASGI_CALL]
    calls = " or ".join(f"({', '.join(call)})" for call in expected)
    text = f"cannot be called with {calls}: {maybe_unfit(app, expected[0])}"
    if maybe_unfit(app, ()) is not None or ":" not in spec or spec.endswith(")"):
        return text
    if is_async(app):
        return f"{text}; if it is a factory, write it as a plain function (def) and name it as '{spec}()'"
    return f"{text}; if it is a factory, write '{spec}()'"


def kind_of(app: Callable[..., Any]) -> Interface:
    """Whether an application is WSGI or ASGI; WSGI where that cannot be seen."""
    return maybe_kind_of(app) or Interface.WSGI


def maybe_kind_of(app: Callable[..., Any]) -> Interface | None:
    """The same, or None for a callable that takes anything: a decorator without functools.wraps, mostly."""
    if is_tornado(app):
        return Interface.TORNADO
    if is_async(app):
        return Interface.ASGI
    # What it takes itself comes before what it wraps: an adapter may wrap the other kind.
    return maybe_kind_by_parameters(app, unwrap=False) or maybe_kind_by_parameters(app, unwrap=True)


def maybe_kind_by_parameters(app: Any, *, unwrap: bool) -> Interface | None:
    takes = tuple(maybe_unfit(app, call, unwrap=unwrap) is None for call in (WSGI_CALL, ASGI_CALL))
    if takes in MEANINGS:
        return MEANINGS[takes]
    names = parameter_names(app, unwrap=unwrap)
    if names & set(ASGI_CALL):
        return Interface.ASGI
    return Interface.WSGI if names & {*WSGI_CALL, "env"} else None


def parameter_names(app: Any, *, unwrap: bool = True) -> set[str]:
    try:
        return set(inspect.signature(app, follow_wrapped=unwrap).parameters)
    except (TypeError, ValueError):
        return set()


def is_async(app: Any) -> bool:
    """An async function, or an object with an async __call__ (Starlette, FastAPI, Channels), however many
    functools.partial are around it. The attribute is asked, not the class: some objects carry their own."""
    while isinstance(app, partial):
        app = app.func
    if inspect.iscoroutinefunction(app):
        return True
    return not inspect.isclass(app) and inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def is_tornado(app: Any) -> bool:
    """An Application of Tornado's, or what else its server would give requests to. Whoever made it has
    imported Tornado."""
    delegate = getattr(sys.modules.get("tornado.httputil"), "HTTPServerConnectionDelegate", None)
    return isinstance(delegate, type) and isinstance(app, delegate)


def is_double_callable(app: Any) -> bool:
    """ASGI 2.0: app(scope) returns what is awaited with (receive, send); Channels 1 and 2, old middleware."""
    if maybe_unfit(app, ("scope",)) is not None:
        return False
    if inspect.isclass(app):
        call = inspect.getattr_static(app, "__call__", None)
        return inspect.iscoroutinefunction(call) and maybe_unfit(call, ("self", "receive", "send")) is None
    return "scope" in parameter_names(app)


def described(value: Any) -> str:
    if isinstance(value, ModuleType):
        return f"the module {value.__name__!r}"
    return "None" if value is None else f"of type {type(value).__qualname__!r}"
