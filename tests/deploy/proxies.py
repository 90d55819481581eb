"""The proxies of examples/deploy/: one row for each, with what a test has to change in its file.

Knows: their configuration, how each is started. Must not know: what is asked through them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.programs import Running, accepts, example, free_port, program, running
from harness import tls

#: What Debian's own nginx.conf does around a site.
NGINX = """
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    include {dir}/site.conf;
}}
"""

#: Nothing of the user's, no port for administration.
CADDY = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n\n"


@dataclass(frozen=True)
class Place:
    """Where things are in a test. upstream: host and port of a Tricorn; more for HAProxy."""

    directory: Path
    port: int
    upstream: tuple[str, int]
    health: int = 0


def write_nginx(place: Place, name: str, replaced: Mapping[str, object]) -> list[str]:
    host, port = place.upstream
    for known in ("127.0.0.1:8000", "web:8000"):
        if known in example(name, {}):
            replaced = {**replaced, f"server {known}": f"server {host}:{port}"}
    (place.directory / "site.conf").write_text(example(name, replaced))
    conf = place.directory / "nginx.conf"
    conf.write_text(NGINX.format(dir=place.directory))
    return [program("nginx"), "-e", "stderr", "-p", str(place.directory), "-c", str(conf)]


def nginx(place: Place) -> list[str]:
    certificates = "/etc/letsencrypt/live/www.example.org"
    return write_nginx(
        place,
        "nginx.conf",
        {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl;": f"listen 127.0.0.1:{place.port} ssl;",
            f"{certificates}/fullchain.pem": tls.CERTIFICATE,
            f"{certificates}/privkey.pem": tls.CERTIFICATE,
        },
    )


def nginx_of_compose(place: Place) -> list[str]:
    return write_nginx(place, "docker/nginx.conf", {"listen 80;": f"listen 127.0.0.1:{place.port};"})


def haproxy(place: Place) -> list[str]:
    """Two machines are two addresses of this one."""
    _, port = place.upstream
    conf = place.directory / "haproxy.cfg"
    conf.write_text(
        example(
            "haproxy.cfg",
            {
                "log /dev/log local0": "log stdout format raw local0",
                "maxconn 20000": "maxconn 1000",
                "    user haproxy\n    group haproxy\n": "",
                "/run/haproxy/admin.sock": place.directory / "admin.sock",
                "bind :80\n": f"bind 127.0.0.1:{free_port()}\n",
                "bind :443": f"bind 127.0.0.1:{place.port}",
                "/etc/haproxy/certs/": tls.CERTIFICATE,
                "port 8001": f"port {place.health}",
                "10.0.0.11:8000": f"127.0.0.11:{port}",
                "10.0.0.12:8000": f"127.0.0.12:{port}",
            },
        )
    )
    return [program("haproxy"), "-db", "-f", str(conf)]


def caddy(place: Place) -> list[str]:
    host, port = place.upstream
    conf = place.directory / "Caddyfile"
    ours = f":{place.port} {{\n\tbind 127.0.0.1\n\ttls {tls.CERTIFICATE} {tls.CERTIFICATE}"
    text = example(
        "Caddyfile",
        {
            "www.example.org {": ours,
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy {host}:{port}",
        },
    )
    conf.write_text(CADDY + text)
    return [program("caddy"), "run", "--config", str(conf), "--adapter", "caddyfile"]


#: Its name → (its command, which writes its configuration; the wire that clients speak to it).
PROXIES: dict[str, tuple[Callable[[Place], list[str]], str]] = {
    "nginx": (nginx, "tls"),
    "nginx of compose": (nginx_of_compose, "plain"),
    "haproxy": (haproxy, "tls"),
    "caddy": (caddy, "tls"),
}


@contextlib.contextmanager
def proxy(name: str, place: Place) -> Iterator[Running]:
    command, _ = PROXIES[name]
    words = command(place)
    home = {"HOME": str(place.directory), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with running(words, place.directory, name=name.split()[0], env=home) as started:
        started.wait(lambda: accepts("127.0.0.1", place.port), f"{name} listens")
        yield started
