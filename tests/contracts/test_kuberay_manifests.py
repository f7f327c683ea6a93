"""The manifests of configs/kuberay: they render, fit KubeRay's strict schemas, and mean the same as the code."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.ray_head import SPARE_WORKER, choose_ports, head_environment
from cluster.settings import Settings
from cluster.state_folder import StateFolder
from serve.middleware import OPEN_PATHS
from tests.contracts.crd_schemas import breaches
from tests.contracts.manifests import RENDERED, Manifests, Pod, rendered
from tests.source_tree import ROOT

API_VERSIONS = {
    "ConfigMap": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "RayJob": "ray.io/v1",
    "RayService": "ray.io/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "StatefulSet": "apps/v1",
}
"""What may be rendered. No Secret: its contents would be in the repository."""

LOCAL_ONLY = re.compile(r"RAY_(ADDRESS|AUTH_\w+|ENABLE_WINDOWS_OR_OSX_CLUSTER|SERVE_HAPROXY_\w+|SERVE_FALLBACK_\w+)")
"""Settings of `memos up` that put several instances side by side on one machine, or on loopback."""

TEMPLATE = ("spec", "rayClusterConfig", "headGroupSpec", "template")
Manifest = dict[str, Any]


@pytest.fixture(params=RENDERED)
def found(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


def test_every_object_is_of_a_known_kind_and_has_its_name_once(found: Manifests) -> None:
    assert {(o["kind"], o["apiVersion"]) for o in found.objects} <= set(API_VERSIONS.items())
    named = [(o["kind"], o["metadata"]["name"]) for o in found.objects]
    assert len(named) == len(set(named))
    assert len({o["metadata"].get("namespace") for o in found.objects}) == 1


def test_ray_objects_fit_their_strict_schemas(found: Manifests) -> None:
    for kind in ("RayService", "RayJob"):
        assert breaches(kind, found.one(kind)) == []


def test_the_same_schemas_hold_for_the_parts_that_kubernetes_shares(found: Manifests) -> None:
    for stateful in found.of("StatefulSet"):
        assert breaches("RayService", stateful["spec"]["template"], *TEMPLATE) == []
    for service in found.of("Service"):
        assert breaches("RayService", service["spec"], "spec", "serveService", "spec") == []
    rules = ("spec", "rayClusterConfig", "networkPolicy", "head", "ingressRules")
    for policy in found.of("NetworkPolicy"):
        assert policy["spec"].keys() == {"podSelector", "policyTypes", "ingress"}
        assert breaches("RayService", policy["spec"]["ingress"], *rules) == []


def _container(service: Manifest) -> Manifest:
    found: Manifest = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: s["spec"].update(serveConfig="x"), "serveConfig"),
        (lambda s: _container(s).update(imagePullPolice="Always"), "imagePullPolice"),
        (lambda s: _container(s)["readinessProbe"].update(periodSeconds="5"), "periodSeconds"),
        (lambda s: _container(s)["env"].append({"name": "OMP_NUM_THREADS", "value": "2"}), "two items"),
        (lambda s: _container(s)["resources"]["limits"].update(memory="8 GB"), "8 GB"),
        (lambda s: s["spec"]["rayClusterConfig"].pop("headGroupSpec"), "headGroupSpec"),
    ],
)
def test_a_planted_mistake_is_found(spoil: Callable[[Manifest], Any], named: str) -> None:
    spoiled = copy.deepcopy(rendered("base").one("RayService"))
    spoil(spoiled)
    [breach] = breaches("RayService", spoiled)
    assert named in breach


def test_what_pods_name_is_rendered_or_documented_as_to_be_made(found: Manifests) -> None:
    made = _documented_secrets()
    for pod in found.pods():
        assert pod.spec["serviceAccountName"] in found.names("ServiceAccount")
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: {} for s in found.of("StatefulSet") for claim in _claims(s, pod)}
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in found.names("ConfigMap")
        for container in pod.containers:
            for mount in container.get("volumeMounts", []):
                secret = volumes[mount["name"]].get("secret", {}).get("secretName")
                assert secret is None or mount["subPath"] in made[secret]
            for variable in container["env"]:
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert reference["key"] in made[reference["name"]]


def _claims(stateful: Manifest, pod: Pod) -> list[Manifest]:
    claims: list[Manifest] = stateful["spec"].get("volumeClaimTemplates", []) if pod.of == "StatefulSet" else []
    return claims


def _documented_secrets() -> dict[str, set[str]]:
    """Secret -> its keys, out of the commands in docs/kubernetes.md."""
    text = (ROOT / "docs/kubernetes.md").read_text().replace("\\\n", " ")
    made = {}
    for line in re.findall(r"kubectl .*create secret generic .*", text):
        words = line.split()
        keys = re.findall(r"--from-(?:literal|file)=([\w.-]+)=", line)
        made[words[words.index("generic") + 1]] = set(keys)
    return made


def test_selectors_choose_pods_and_ports_are_theirs(found: Manifests) -> None:
    pods = list(found.pods())
    for service in found.of("Service"):
        chosen = [pod for pod in pods if pod.matches(service["spec"]["selector"])]
        assert chosen
        assert all(port["targetPort"] in pod.ports for pod in chosen for port in service["spec"]["ports"])
    for policy in found.of("NetworkPolicy"):
        chosen = [pod for pod in pods if pod.matches(policy["spec"]["podSelector"])]
        assert chosen
        ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])}
        assert ports <= {port for pod in chosen for port in pod.ports.values()}
    assert [pod.of for pod in pods if pod.matches(found.one("PodDisruptionBudget")["spec"]["selector"])] == [
        "RayService/workers"
    ]
    for constraint in found.workers.spec["topologySpreadConstraints"]:
        assert found.workers.matches(constraint["labelSelector"])


def test_only_the_serve_port_is_open_to_everybody(found: Manifests) -> None:
    covered = [policy["spec"]["podSelector"] for policy in found.of("NetworkPolicy")]
    assert all(any(pod.matches(selector) for selector in covered) for pod in found.pods())
    rules = [rule for policy in found.of("NetworkPolicy") for rule in policy["spec"]["ingress"]]
    opened = [port["port"] for rule in rules if not rule.get("from") for port in rule["ports"]]
    assert opened == [found.workers.ports["serve"]] == [_profile(found)["http"]["port"]]


def test_no_pod_runs_as_root_or_may_become_it(found: Manifests) -> None:
    for pod in found.pods():
        assert pod.spec["securityContext"]["runAsNonRoot"] and pod.spec["securityContext"]["runAsUser"] > 0
        assert pod.spec["automountServiceAccountToken"] is False
        for container in pod.containers:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_probes_ask_what_answers_without_a_key_and_only_liveness_asks_the_node_itself(found: Manifests) -> None:
    [worker] = found.workers.containers
    for probe in ("startupProbe", "readinessProbe"):
        asked = worker[probe]["httpGet"]
        assert asked["path"] in OPEN_PATHS and found.workers.ports[asked["port"]] == 8000
    assert worker["livenessProbe"]["httpGet"]["port"] == 52365  # of Ray's own agent
    assert not any("Probe" in name for container in found.head.containers for name in container)


def test_every_pod_of_the_instance_runs_one_image_with_one_environment(found: Manifests) -> None:
    [head], [worker] = found.head.containers, found.workers.containers
    assert head["env"] == worker["env"] and head["volumeMounts"] == worker["volumeMounts"]
    assert len({c["image"] for pod in found.pods() if pod.of.startswith("Ray") for c in pod.containers}) == 1


def test_the_environment_is_that_of_the_local_profile_where_it_is_not_about_one_machine(found: Manifests) -> None:
    local = head_environment(Settings(), StateFolder(Path("/none")), "none", Path("/none"), choose_ports(None))
    set_here = {variable["name"]: variable.get("value") for variable in found.workers.containers[0]["env"]}
    for name, value in local.items():
        if name in set_here:
            assert set_here[name] == value
        elif name.startswith("RAY_"):
            assert LOCAL_ONLY.fullmatch(name) or name.startswith("RAY_SERVE_DIRECT_INGRESS_M"), name
    assert {name for name in set_here if name.startswith("RAY_")} <= local.keys() | SPARE_WORKER.keys()


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments:DeprecationWarning")  # Ray's own schemas
def test_the_serve_config_is_one_that_serve_takes(found: Manifests) -> None:
    from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

    written = _serve_config(found)
    config = ServeDeploySchema.model_validate(written)
    [application] = config.applications
    # It ignores what it does not know.
    assert written.keys() <= ServeDeploySchema.model_fields.keys()
    assert written["http_options"].keys() <= HTTPOptionsSchema.model_fields.keys()
    assert written["applications"][0].keys() <= ServeApplicationSchema.model_fields.keys()
    profile = found.workers.containers[0]["volumeMounts"][0]["mountPath"]
    assert application.args == {"config": f"{profile}/{next(iter(found.one('ConfigMap')['data']))}"}
    assert find_spec(application.import_path.partition(":")[0])
    http = _profile(found)["http"]
    assert (config.http_options.host, config.http_options.port) == (http["host"], http["port"])


def test_ray_and_the_image_are_of_one_version(found: Manifests) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "configs/constraints.txt").read_text(), re.M))
    clusters = found.one("RayService")["spec"]["rayClusterConfig"], found.one("RayJob")["spec"]["rayClusterSpec"]
    assert {cluster["rayVersion"] for cluster in clusters} == {pins["ray"]}


def test_threads_and_hosts_fit_the_processors_of_the_workers(found: Manifests) -> None:
    profile, workers = _profile(found), found.workers
    cpus = int(workers.containers[0]["resources"]["limits"]["cpu"])
    embedder, engine = profile["models"]["embedder"], profile["models"]["engine"]
    queries = profile["http"]["replicas"] * embedder["query_threads"]
    assert max(embedder["threads"], engine["threads"]) <= cpus
    assert embedder["threads"] + engine["threads"] + queries + profile["cluster"]["hosts"] <= cpus * workers.replicas
    assert profile["cluster"]["hosts"] == workers.replicas <= profile["cluster"]["shards"]


def test_the_hosts_of_a_lost_worker_find_a_place_and_none_is_on_the_head(found: Manifests) -> None:
    cluster = found.one("RayService")["spec"]["rayClusterConfig"]
    [(resource, amount)] = _profile(found)["cluster"]["host_resources"].items()
    [group] = cluster["workerGroupSpecs"]
    # The operator puts the value on a shell's command line, so that it is quoted twice.
    offered = json.loads(json.loads(group["rayStartParams"]["resources"]))
    assert (found.workers.replicas - 1) * offered[resource] >= amount * _profile(found)["cluster"]["hosts"]
    assert "resources" not in cluster["headGroupSpec"]["rayStartParams"]


def test_the_profile_takes_credentials_from_variables_that_pods_have(found: Manifests) -> None:
    places = _profile(found)["state"]["storage_options_from"].values()
    assert {f"env:{variable['name']}" for variable in found.workers.containers[0]["env"]} >= set(places)
    assert not any("key" in option for option in _profile(found)["state"]["storage_options"])


def test_the_profile_mounts_what_the_state_folder_reads(found: Manifests) -> None:
    state = StateFolder(Path(_profile(found)["state"]["folder"]))
    mounts = {mount["mountPath"] for mount in found.workers.containers[0]["volumeMounts"]}
    assert {str(state.path), str(state.chain_key_file), str(state.key_file)} <= mounts


def _profile(found: Manifests) -> dict[str, Any]:
    [text] = found.one("ConfigMap")["data"].values()
    profile: dict[str, Any] = yaml.safe_load(text)
    return profile


def _serve_config(found: Manifests) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(found.one("RayService")["spec"]["serveConfigV2"])
    return config


def _entrypoint(found: Manifests) -> list[str]:
    return shlex.split(found.one("RayJob")["spec"]["entrypoint"])


def test_the_benchmark_asks_the_service_with_a_key_of_its_environment(found: Manifests) -> None:
    words = _entrypoint(found)
    assert words[:2] == ["python", "-m"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--url"].removeprefix("http://") in found.names("Service")
    [pod] = [pod for pod in found.pods() if pod.of == "RayJob/head"]
    assert options["--key"].removeprefix("$") in {variable["name"] for variable in pod.containers[0]["env"]}
    asked = subprocess.run(
        [sys.executable, *words[1:3], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(re.search(rf"{option}\b", asked.stdout) for option in options)
    assert found.one("RayJob")["spec"]["suspend"]  # applying the manifests starts none
