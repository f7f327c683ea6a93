"""KubeRay's schemas, made strict, and what they say of a manifest.

The API server drops a field that it does not know, without a word; here such a field is a breach. Rules in CEL
(`x-kubernetes-validations`) are not evaluated.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

CRDS = Path(__file__).parent / "kuberay_crds"

Json = Mapping[str, Any]


def breaches(kind: str, manifest: Any, *at: str) -> list[str]:
    """What is wrong with a manifest of a kind ("RayService"), each with its path; empty when it is valid.

    `at` names a part of the kind's schema, for what has the same shape elsewhere: a pod template is one in any kind.
    """
    schema = crd(kind)
    for name in at:
        schema = schema["items"] if name == "[]" else schema["properties"][name]
    errors = sorted(strict_validator(schema).iter_errors(manifest), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@cache
def crd(kind: str) -> Json:
    """The schema of a kind's version v1, closed against unknown fields."""
    text = gzip.decompress((CRDS / f"ray.io_{kind.lower()}s.yaml.gz").read_bytes())
    [version] = [v for v in yaml.load(text, yaml.CSafeLoader)["spec"]["versions"] if v["name"] == "v1"]
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """The schema with every object that lists its fields refusing all others; does not change what it is given."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    lists_its_fields = isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema
    if lists_its_fields and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def _unique(validator: Validator, keys: list[str], items: Any, schema: Json) -> Iterator[ValidationError]:
    """A list that is a map: no two items with the same keys."""
    if not isinstance(items, list):
        return
    fields = schema["items"]["properties"]
    seen: set[str] = set()
    for item in items:
        key = json.dumps([item.get(name, fields[name].get("default")) for name in keys])
        if key in seen:
            yield ValidationError(f"there are two items with {', '.join(keys)} = {key}")
        seen.add(key)


strict_validator = extend(Draft7Validator, {"x-kubernetes-list-map-keys": _unique})
