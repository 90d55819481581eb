"""The functions that the settings name, imported and ready to be called.

Knows: how a setting names a function, how many arguments it takes. Must not know: when which is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tricorn.config.errors import ConfigError
from tricorn.config.functions import function_of
from tricorn.config.gunicorn import DIRTY_HOOKS, HOOKS, OWN_HOOKS
from tricorn.config.settings import Settings
from tricorn.config.signatures import as_declared, is_async, maybe_arity
from tricorn.log.exceptions import format_exception, name_of, traceback_of

Hook = Callable[..., Any]

NAMES = (*HOOKS, *OWN_HOOKS, *DIRTY_HOOKS)

#: The arguments of each, as in a call.
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("on_starting", "when_ready", "on_reload", "on_drain", "on_exit", "pre_exec"), ("server",)
    ),
    **dict.fromkeys(("post_worker_init", "worker_int", "worker_abort"), ("worker",)),
    **dict.fromkeys(
        ("pre_fork", "post_fork", "when_worker_ready", "worker_exit", "child_exit"), ("server, worker",)
    ),
    **dict.fromkeys(
        ("post_request", "after_response"),
        ("worker, req, environ, resp", "worker, req, environ", "worker, req"),
    ),
    **dict.fromkeys(("pre_request", "on_request_timeout"), ("worker, req",)),
    "nworkers_changed": ("server, new, old",),
    "on_memory_limit": ("server, worker, size",),
    "on_dirty_starting": ("arbiter",),
    "dirty_worker_init": ("worker",),
    **dict.fromkeys(("dirty_post_fork", "dirty_worker_exit"), ("arbiter, worker",)),
}


class HookError(Exception):
    """A hook has raised; what it was is the cause.

    code: the exit code that it means where it ends the process.
    """

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"the hook {name} raised {name_of(error)}")
        self.name = name
        self.code = 1
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            self.code = error.code


class Hooks:
    """The hooks of one configuration. They are called by `call`, or looked up by `maybe` where that is done
    often."""

    def __init__(self, functions: Mapping[str, Hook]) -> None:
        self._functions = functions

    def __bool__(self) -> bool:
        return bool(self._functions)

    def has(self, *names: str) -> bool:
        """One of these at least."""
        return any(name in self._functions for name in names)

    def maybe(self, name: str) -> Hook | None:
        return self._functions.get(name)

    def call(self, name: str, *arguments: Any) -> None:
        """Nothing, if there is none. Raises HookError from whatever it raises that is an Exception or
        SystemExit; other exceptions come through as they are."""
        function = self._functions.get(name)
        if function is None:
            return
        try:
            function(*arguments)
        except (Exception, SystemExit) as error:
            raise HookError(name, error) from error


NONE = Hooks({})


def hooks_of(settings: Settings) -> Hooks:
    """Raises ConfigError, where one is named that is not there. Imports what they are in: foreign code."""
    given = {name: value for name in NAMES if (value := getattr(settings, name)) is not None}
    if not given:
        return NONE
    return Hooks({name: _ready(name, _found(name, value)) for name, value in given.items()})


def _found(name: str, value: Hook | str) -> Hook:
    found = function_of(name, value)
    # A function that stands in the file itself was looked at when that was read.
    if isinstance(value, str) and is_async(found):
        what = f"{value!r} is an async function"
        raise ConfigError(name, "", what, "write a plain one: hooks are called, not awaited")
    return found


def _ready(name: str, function: Hook) -> Hook:
    """One that takes all the arguments that there are; Gunicorn's post_request may take fewer of them."""
    forms = PARAMETERS[name]
    count = maybe_arity(function, forms)
    if count is None:
        expected = " or ".join(f"({each})" for each in forms)
        raise ConfigError(
            name, "", f"{as_declared(function)} takes other arguments", f"write a function of {expected}"
        )
    if count == forms[0].count(",") + 1:
        return function
    return lambda *arguments: function(*arguments[:count])


def said_of(error: HookError) -> str:
    """For the log: which hook, and behind that the traceback of what it raised."""
    cause = error.__cause__
    trace = "" if cause is None else f"\n{format_exception(cause, traceback_of(cause))}"
    return f"{error}{trace}"
