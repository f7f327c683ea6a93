"""The rendered manifests of configs/kuberay, and the pods in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.kubectl import kustomize
from tests.source_tree import ROOT

RENDERED = ("base", "overlays/example")


@dataclass(frozen=True)
class Pod:
    """A pod template: of which object, how many, and what is in it."""

    of: str
    template: dict[str, Any]
    replicas: int = 1

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.template["spec"]
        return found

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for c in self.containers for port in c.get("ports", [])}

    def matches(self, selector: dict[str, Any]) -> bool:
        return selector.get("matchLabels", selector).items() <= self.labels.items()


@dataclass(frozen=True)
class Manifests:
    """What one kustomization renders to."""

    objects: list[dict[str, Any]] = field(repr=False)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        [found] = self.of(kind)
        return found

    def names(self, kind: str) -> set[str]:
        return {found["metadata"]["name"] for found in self.of(kind)}

    @property
    def head(self) -> Pod:
        return next(pod for pod in self.pods() if pod.of == "RayService/head")

    @property
    def workers(self) -> Pod:
        return next(pod for pod in self.pods() if pod.of == "RayService/workers")

    def pods(self) -> Iterator[Pod]:
        for found in self.of("RayService"):
            yield from _of_cluster("RayService", found["spec"]["rayClusterConfig"])
        for found in self.of("RayJob"):
            yield from _of_cluster("RayJob", found["spec"]["rayClusterSpec"])
        for found in self.of("StatefulSet"):
            yield Pod("StatefulSet", found["spec"]["template"], found["spec"]["replicas"])


def _of_cluster(kind: str, cluster: dict[str, Any]) -> Iterator[Pod]:
    yield Pod(f"{kind}/head", cluster["headGroupSpec"]["template"])
    for group in cluster.get("workerGroupSpecs", []):
        yield Pod(f"{kind}/{group['groupName']}", group["template"], group["replicas"])


@cache
def rendered(name: str) -> Manifests:
    return Manifests(kustomize(ROOT / "configs/kuberay" / name))
