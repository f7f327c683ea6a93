"""The contract at /openapi.json: complete, consistent, and true about errors and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from serve.middleware import OPEN_PATHS
from tests.unit.edge import Edge

API_MD = """
POST /v1/cubes|GET /v1/cubes|GET /v1/cubes/{cube}|PATCH /v1/cubes/{cube}|DELETE /v1/cubes/{cube}
PUT /v1/cubes/{cube}/grants/{principal}|DELETE /v1/cubes/{cube}/grants/{principal}|GET /v1/cubes/{cube}/verify
POST /v1/cubes/{cube}/memories|GET /v1/cubes/{cube}/memories|GET /v1/cubes/{cube}/memories/{id}
PATCH /v1/cubes/{cube}/memories/{id}|DELETE /v1/cubes/{cube}/memories/{id}
POST /v1/cubes/{cube}/memories/{id}/transition|GET /v1/cubes/{cube}/memories/{id}/history
POST /v1/search|POST /v1/chat/completions|GET /v1/models|POST /v1/keys|GET /v1/keys|DELETE /v1/keys/{id}
GET /v1/principals|POST /v1/jobs|GET /v1/jobs|GET /v1/jobs/{id}|GET /v1/jobs/{id}/logs|POST /v1/jobs/{id}/stop
GET /healthz|GET /readyz|GET /metrics|GET /v1/status
"""


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    document: dict[str, Any] = Edge().call("GET", "/openapi.json", "").json()
    return document


def operations(contract: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_route_is_there(contract: dict[str, Any]) -> None:
    promised = {route.strip() for line in API_MD.split("\n") for route in line.split("|") if route.strip()}
    assert promised <= {name for name, _ in operations(contract)}


def test_references_lead_somewhere_and_operations_have_names_of_their_own(contract: dict[str, Any]) -> None:
    assert contract["openapi"].startswith("3.1")
    schemas = contract["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in references(contract)} <= set(schemas)
    names = [operation["operationId"] for _, operation in operations(contract)]
    assert len(names) == len(set(names))
    assert all(operation.get("description") for _, operation in operations(contract))


def test_path_parameters_are_declared(contract: dict[str, Any]) -> None:
    for name, operation in operations(contract):
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", name)), name


def test_what_takes_a_key_says_so(contract: dict[str, Any]) -> None:
    for name, operation in operations(contract):
        opened = name.split(" ")[1] in OPEN_PATHS
        assert ("security" in operation) != opened, name
        assert ("401" in operation["responses"]) != opened, name


def test_errors_are_documented_as_problem_documents(contract: dict[str, Any]) -> None:
    for name, operation in operations(contract):
        for status, answer in operation["responses"].items():
            if status[0] in "45" and name != "GET /readyz":
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
    assert "HTTPValidationError" not in contract["components"]["schemas"]


def test_unknown_fields_are_refused_by_our_own_bodies(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    for name in ("AddBody", "MessageIn", "TextIn", "DocumentIn", "SearchBody", "PatchBody", "MemoryOptions"):
        assert schemas[name]["additionalProperties"] is False
