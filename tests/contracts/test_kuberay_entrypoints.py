"""What the manifests name in the code is there: the settings of the profile, and the application."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from cluster.settings import load_settings
from tests.contracts.manifests import RENDERED, Manifests, rendered


@pytest.fixture(params=RENDERED)
def found(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


def test_the_profile_is_one_that_the_settings_take(found: Manifests, tmp_path: Path) -> None:
    [text] = found.one("ConfigMap")["data"].values()
    profile = tmp_path / "cluster.yaml"
    profile.write_text(text)
    variables = {variable["name"]: "set" for variable in found.workers.containers[0]["env"]}
    settings = load_settings(profile, environment=variables)
    assert settings.ray.address == "auto"
    assert settings.state.storage_options["aws_access_key_id"] == "set"


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")  # ray.serve's own models
def test_the_application_is_where_the_serve_config_says(found: Manifests) -> None:
    [application] = yaml.safe_load(found.one("RayService")["spec"]["serveConfigV2"])["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(import_module(module), name))
