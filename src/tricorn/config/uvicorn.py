"""Uvicorn's names for settings, as `uvicorn.run()` and CONFIG_KWARGS of a worker class have them.

Each row says which settings of ours a value becomes. What says that nothing is to happen, or chooses between
implementations of which there is one here, becomes none. What would change what is served is refused.

Knows: names of Uvicorn 0.38. Must not know: how they got here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tricorn.config.errors import BadValueError, ConfigError, did_you_mean
from tricorn.config.program import NAMES, UnknownSettingError

#: A value of Uvicorn's → settings of ours. Raises BadValueError.
Translation = Callable[[Any], Mapping[str, object]]

LOG_LEVELS = {"trace": "debug", "warn": "warning", "fatal": "critical"}
INTERFACES = {"asgi3": "asgi", "wsgi": "gthread", "auto": "auto"}


def run_settings(given: Mapping[str, Any], origin: str) -> dict[str, object]:
    """Ours, from a mix of both. Raises ConfigError."""
    found: dict[str, object] = {}
    come_from: dict[str, str] = {}
    for name, value in (address_joined(given, origin) | others(given)).items():
        for ours, translated in translated_settings(name, value, origin).items():
            if ours in found:
                raise ConfigError(
                    name, origin, f"{come_from[ours]} says the same", f"give one of them; both mean {ours}"
                )
            found[ours], come_from[ours] = translated, name
    return found


def translated_settings(name: str, value: Any, origin: str) -> Mapping[str, object]:
    # server_header is a switch there and a text here.
    if name in NAMES and not (name in UVICORNS and isinstance(value, bool)):
        return {} if value is None else {name: value}
    if name not in UVICORNS:
        known = [*NAMES, *UVICORNS, *ADDRESS]
        raise UnknownSettingError(name, origin, "there is no such setting", did_you_mean(name, known))
    try:
        return UVICORNS[name](value)
    except BadValueError as error:
        raise ConfigError(name, origin, error.message, error.hint) from error


# ---- where to listen -------------------------------------------------------------------------------------

ADDRESS = ("host", "port", "uds", "fd")


def others(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in ADDRESS}


def address_joined(given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """`bind`, if there is a word of Uvicorn's on it. There too a descriptor goes before a path, and a path
    before a host."""
    words = {name: given[name] for name in ADDRESS if given.get(name) is not None}
    if not words:
        return {}
    if given.get("bind") is not None:
        first = next(iter(words))
        raise ConfigError(first, origin, "bind says where to listen already", f"leave {first} or bind out")
    if "fd" in words:
        return {"bind": f"fd://{words['fd']}"}
    if "uds" in words:
        return {"bind": f"unix:{words['uds']}"}
    host = str(words.get("host", "127.0.0.1"))
    return {"bind": f"{f'[{host}]' if ':' in host else host}:{words.get('port', 8000)}"}


# ---- the rest --------------------------------------------------------------------------------------------


def renamed(name: str) -> Translation:
    def translate(value: Any) -> Mapping[str, object]:
        return {} if value is None else {name: value}

    return translate


def needless(_: Any) -> Mapping[str, object]:
    return {}


def refused(hint: str, *harmless: object) -> Translation:
    """Unless the value asks for nothing."""

    def translate(value: Any) -> Mapping[str, object]:
        if value and value not in harmless:
            raise BadValueError("this parameter of uvicorn.run() is not supported", hint)
        return {}

    return translate


def switch(settings_on: Mapping[str, object], settings_off: Mapping[str, object]) -> Translation:
    def translate(value: Any) -> Mapping[str, object]:
        return settings_on if value else settings_off

    return translate


def log_level(value: Any) -> Mapping[str, object]:
    """A word, or a number of logging's."""
    if value is None:
        return {}
    word = logging.getLevelName(value) if isinstance(value, int) else str(value)
    return {"loglevel": LOG_LEVELS.get(word.lower(), word.lower())}


def server_header(value: Any) -> Mapping[str, object]:
    return {} if value is True else {"server_header": value or ""}


def event_loop(value: Any) -> Mapping[str, object]:
    if value == "none":
        raise BadValueError(
            "Tricorn makes the event loop itself", "write auto, asyncio, uvloop or a function"
        )
    return {} if value is None else {"asgi_loop": value}


def interface(value: Any) -> Mapping[str, object]:
    if value not in INTERFACES:
        raise BadValueError(f"{value!r} is not supported", f"write one of {', '.join(INTERFACES)}")
    return {"worker_class": INTERFACES[value]}


def seconds_or_none(name: str) -> Translation:
    """None is no limit there, and 0 is here."""

    def translate(value: Any) -> Mapping[str, object]:
        return {name: 0 if value is None else value}

    return translate


UVICORNS: Mapping[str, Translation] = {
    "access_log": switch({"accesslog": "-"}, {"accesslog": None}),
    "app_dir": renamed("chdir"),
    "date_header": refused("responses carry a Date header (RFC 9110 §6.6.1)", True),
    "env_file": refused("load the file before the call, or set raw_env"),
    "h11_max_incomplete_event_size": renamed("limit_request_head"),
    "headers": refused("add them in the application"),
    "http": needless,
    "interface": interface,
    "lifespan": renamed("asgi_lifespan"),
    "limit_concurrency": renamed("max_concurrency"),
    "limit_max_requests": renamed("max_requests"),
    "limit_max_requests_jitter": renamed("max_requests_jitter"),
    "log_config": refused("configure logging before the call; docs/logging.md says how"),
    "log_level": log_level,
    "loop": event_loop,
    "proxy_headers": switch({}, {"forwarded_allow_ips": ()}),
    "reload_delay": needless,
    "server_header": server_header,
    "ssl_ca_certs": renamed("ca_certs"),
    "ssl_cert_reqs": renamed("cert_reqs"),
    "ssl_certfile": renamed("certfile"),
    "ssl_ciphers": renamed("ciphers"),
    "ssl_keyfile": renamed("keyfile"),
    "ssl_keyfile_password": renamed("keyfile_password"),
    "timeout_graceful_shutdown": renamed("graceful_timeout"),
    "timeout_keep_alive": renamed("keepalive"),
    "timeout_notify": needless,
    "timeout_worker_healthcheck": renamed("timeout"),
    "use_colors": needless,
    "ws": refused(
        "WebSockets are served by Tricorn itself", "auto", "websockets", "websockets-sansio", "wsproto"
    ),
    "ws_max_queue": renamed("websocket_max_queue"),
    "ws_max_size": renamed("websocket_max_message_size"),
    "ws_per_message_deflate": renamed("websocket_compression"),
    "ws_ping_interval": seconds_or_none("websocket_ping_interval"),
    "ws_ping_timeout": seconds_or_none("websocket_ping_timeout"),
}
