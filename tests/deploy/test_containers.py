"""The Dockerfile, Compose and Kubernetes: what they start does start, and what they ask is answered.

No image can be built where there is no registry. So the files are taken apart, and what they run is run here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.containers import image
from deploy.programs import EXAMPLES, TRICORN, environ, free_port, running
from deploy.test_supervised import APP, fetched

from tricorn.config.settings import SETTINGS
from tricorn.config.sources import load

#: One that is in use, and that the validator knows.
KUBERNETES = "1.30"

DOCKERFILE = EXAMPLES / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((EXAMPLES / "docker" / "compose.yaml").read_text())
OBJECTS = {each["kind"]: each for each in yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def settings(env: dict[str, str], arguments: list[str], directory: Path) -> Any:
    """What the server understands of it; a warning is a failure."""
    read = load(arguments, env, directory)
    assert not read.warnings, read.warnings
    return read


def site(directory: Path) -> None:
    (directory / "mysite").mkdir()
    (directory / "mysite" / "wsgi.py").write_text(APP)


def start_here(words: list[str], env: dict[str, str], health: int, directory: Path) -> Any:
    """The container's command in this machine, with ports of our own."""
    assert words[0] == "tricorn"
    env = {**env, "TRICORN_HEALTH_BIND": f"127.0.0.1:{health}", "TRICORN_DRAIN_DELAY": "0"}
    return running([*TRICORN, *words[1:]], directory, env=environ(**env))


# -- Docker


def test_the_image_is_small_and_not_roots() -> None:
    made = image(DOCKERFILE)
    assert made.base.endswith("-slim")
    assert made.user.isdigit()
    assert int(made.user) > 0
    assert made.copied_from <= set(made.stages)
    assert made.directory == "/srv/mysite"


def test_what_the_image_runs(tmp_path: Path) -> None:
    """The command answers at the exposed ports, and HEALTHCHECK says so as long as it does."""
    made = image(DOCKERFILE)
    understood = settings(made.env, made.command[1:], tmp_path)
    assert understood.bind == (f"0.0.0.0:{made.ports[0]}",)
    assert understood.health_bind == f"0.0.0.0:{made.ports[1]}"

    site(tmp_path)
    port, health = free_port(), free_port()
    env = {**made.env, "PORT": str(port), "PATH": environ()["PATH"]}
    assert made.health[0] == "python"
    assert f", {made.ports[1]}," in made.health[-1]
    check = [sys.executable, *(word.replace(f" {made.ports[1]},", f" {health},") for word in made.health[1:])]

    def is_healthy() -> bool:
        return subprocess.run(check, capture_output=True, timeout=30).returncode == 0

    with start_here(made.command, env, health, tmp_path) as started:
        started.wait_log("is ready")
        assert is_healthy()
        assert fetched(port) == b"hello"
        assert started.stop() == 0
        assert not is_healthy()


# -- Compose


def test_compose_says_what_the_server_understands(tmp_path: Path) -> None:
    web, nginx = COMPOSE["services"]["web"], COMPOSE["services"]["nginx"]
    made = image(DOCKERFILE)
    understood = settings(made.env | web["environment"], made.command[1:], tmp_path)
    assert understood.workers == 4
    assert understood.forwarded_allow_ips == ("*",)
    assert "ports" not in web, "it trusts everybody, so nobody from outside may connect"
    needed = understood.drain_delay + understood.graceful_timeout + 5
    assert float(web["stop_grace_period"].removesuffix("s")) > needed
    assert set(nginx["depends_on"]) <= set(COMPOSE["services"])
    for volume in nginx["volumes"]:
        here, there, _ = volume.split(":")
        assert (EXAMPLES / "docker" / here).is_file()
        assert there.startswith("/etc/nginx/conf.d/")


# -- Kubernetes


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_is_valid(kind: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], KUBERNETES, strict=True)


def test_a_mistake_is_found() -> None:
    """So the test above can fail."""
    wrong = json.loads(json.dumps(OBJECTS["Deployment"]).replace('"livenessProbe"', '"liveness_probe"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_objects_belong_together() -> None:
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", OBJECTS["Deployment"]["metadata"]["name"])
    assert "replicas" not in OBJECTS["Deployment"]["spec"], "an apply would undo what the autoscaler did"
    ports = {port["name"] for port in CONTAINER["ports"]}
    asked = {CONTAINER[probe]["httpGet"]["port"] for probe in PROBES}
    assert asked | {port["targetPort"] for port in OBJECTS["Service"]["spec"]["ports"]} <= ports
    assert {"cpu", "memory"} <= set(CONTAINER["resources"]["requests"]), "the autoscaler measures by these"


PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_a_pod(tmp_path: Path) -> None:
    """Its command and its variables serve, and every probe is answered. The times fit each other."""
    env = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert {name.removeprefix("TRICORN_").lower() for name in env} - {"forwarded_allow_ips"} <= set(SETTINGS)
    understood = settings(env, CONTAINER["args"][1:], tmp_path)
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert understood.bind == (f"0.0.0.0:{ports['http']}",)
    assert understood.health_bind == f"0.0.0.0:{ports['health']}"
    needed = understood.drain_delay + understood.graceful_timeout + 5
    assert POD["terminationGracePeriodSeconds"] >= needed
    ready, live = CONTAINER["readinessProbe"], CONTAINER["livenessProbe"]
    assert understood.drain_delay > ready["periodSeconds"] * ready["failureThreshold"]
    assert live["periodSeconds"] * live["failureThreshold"] > understood.timeout

    site(tmp_path)
    port, health = free_port(), free_port()
    env |= {"TRICORN_BIND": f"127.0.0.1:{port}", "TRICORN_WORKERS": "1"}
    with start_here(CONTAINER["args"], env, health, tmp_path) as started:
        started.wait_log("is ready")
        assert fetched(port) == b"hello"
        for probe in PROBES:
            path = CONTAINER[probe]["httpGet"]["path"]
            assert b'"alive": true' in fetched(health, path)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(health, "/nowhere")
        assert started.stop() == 0


# -- Envoy, which no registry of packages has


def test_envoy_asks_where_health_is_answered() -> None:
    """Its file is read as YAML, and compared with the one for HAProxy: the same machines, the same checks."""
    envoy = yaml.safe_load((EXAMPLES / "envoy.yaml").read_text())
    (cluster,) = envoy["static_resources"]["clusters"]
    (group,) = cluster["load_assignment"]["endpoints"]
    haproxy = (EXAMPLES / "haproxy.cfg").read_text()
    for each in group["lb_endpoints"]:
        address = each["endpoint"]["address"]["socket_address"]
        assert f"{address['address']}:{address['port_value']}" in haproxy
        assert f"port {each['endpoint']['health_check_config']['port_value']}" in haproxy
    (check,) = cluster["health_checks"]
    assert f"GET {check['http_health_check']['path']}" in haproxy
    (listener,) = envoy["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (manager,) = [each["typed_config"] for each in chain["filters"]]
    removed = manager["route_config"]["request_headers_to_remove"]
    assert {f"del-header {name}" for name in removed} <= {
        line.strip().removeprefix("http-request ").lower() for line in haproxy.splitlines()
    }
    assert manager["use_remote_address"] is True
