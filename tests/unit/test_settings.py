"""Settings: what is wrong is named with the way out, and the shipped profile is what the code defaults to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from actors.errors import ConfigError
from actors.memory.policy import ENTITIES
from cluster.settings import Settings, job_environment, load_settings
from cluster.specs import recognizer_spec
from cluster.vector_store import vector_store

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    file = folder / "memos.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_local_profile_is_complete_and_holds_the_defaults() -> None:
    path = ROOT / "configs" / "local.yaml"
    assert load_settings(path, environment={}) == load_settings(None, environment={})
    assert _names(yaml.safe_load(path.read_text(encoding="utf-8"))) == _fields(Settings)


def _names(data: dict[str, object], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in data.items():
        nested = isinstance(value, dict) and not name.startswith("storage_options") and not name.endswith("_resources")
        found |= _names(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}"}  # type: ignore[arg-type]
    return found


def _fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, info in model.model_fields.items():
        inner = info.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        found |= _fields(inner, f"{prefix}{name}.") if nested else {f"{prefix}{name}"}  # type: ignore[arg-type]
    return found


def _recognizer(regex: str, entity: str = "BADGE") -> str:
    return f"redaction: {{recognizers: [{{name: badges, entity: {entity}, patterns: [{{regex: {regex}}}]}}]}}"


def test_recognizers_of_a_profile_add_kinds_that_policies_may_name(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, _recognizer("'B-[0-9]{4}'")), environment={})
    spec = recognizer_spec(settings)
    assert spec.kinds == (*ENTITIES, "BADGE")
    assert spec.custom[0].patterns[0].regex == "B-[0-9]{4}"
    twice = "redaction: {recognizers: [%s, %s]}" % (("{name: a, entity: AB, patterns: [{regex: x}]}",) * 2)
    with pytest.raises(ConfigError, match="same name"):
        load_settings(write(tmp_path, twice), environment={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http: {prot: 1}", "unknown setting http.prot; did you mean http.port?"),
        ("htpp: {port: 1}", "unknown setting htpp; did you mean http?"),
        ("models: {engine: {thread: 1}}", "did you mean models.engine.threads?"),
        ("http: {port: 99999}", "http.port"),
        ("http: {port: lots}", "http.port"),
        ("cluster: {shards: 0}", "cluster.shards"),
        ("vectors: {bakend: milvus}", "did you mean vectors.backend?"),
        ("vectors: {backend: qdrant}", "vectors.backend"),
        ("vectors: {backend: milvus}", "needs a uri"),
        ("vectors: {backend: milvus, uri: ./milvus.db}", "vectors.uri"),
        ("vectors: {backend: milvus, uri: 'http://h:1', prefix: 'a-b'}", "vectors.prefix"),
        ("vectors: {uri: 'http://h:1'}", "faiss needs none of them"),
        (_recognizer("'('"), "redaction.recognizers.0.patterns.0.regex: Value error, is no regular expression"),
        (_recognizer("'x*'"), "matches the empty text"),
        (_recognizer("x", entity="badge"), "redaction.recognizers.0.entity"),
        ("redaction: {recognizers: [{name: a, entity: AB, patterns: []}]}", "redaction.recognizers.0.patterns"),
        ("- a", "sections"),
        ("http: [", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(tmp_path, text), environment={})
    assert said in raised.value.detail
    assert "memos.yaml" in raised.value.detail


def test_the_cluster_profile_names_known_settings_and_attaches(tmp_path: Path) -> None:
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    settings = load_settings(ROOT / "configs" / "cluster.yaml", tmp_path, environment=variables)
    assert (settings.ray.address, settings.state.journal_uri[:5]) == ("auto", "s3://")
    assert settings.state.storage_options["aws_secret_access_key"] == "secret"


def test_credentials_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0\n")
    places = f"{{id: 'env:ID', token: 'file:{tmp_path}/token'}}"
    text = f"state: {{storage_options: {{region: eu}}, storage_options_from: {places}}}"
    settings = load_settings(write(tmp_path, text), environment={"ID": "me"})
    assert settings.state.storage_options == {"region": "eu", "id": "me", "token": "t0"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state: {storage_options_from: {id: 'env:NOT_THERE'}}", "NOT_THERE is not set"),
        ("state: {storage_options_from: {id: 'file:/not/there'}}", "/not/there cannot be read"),
        ("state: {storage_options_from: {id: plain}}", "neither env:NAME nor file:/path"),
        ("ray: {address: auto}", "state.journal_uri must name storage"),
        ("ray: {address: 'ray://x'}", "ray.address"),
        ("cluster: {takeover: maybe}", "cluster.takeover"),
        ("cluster: {host_resources: {CPU: -1}}", "cluster.host_resources.CPU"),
    ],
)
def test_what_a_cluster_profile_lacks_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(tmp_path, text), environment={})
    assert said in raised.value.detail


def test_a_wrong_storage_option_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(tmp_path, "state: {storage_options: {key: [hush]}}"), environment={})
    assert "storage_options" in raised.value.detail
    assert "hush" not in raised.value.detail


def test_a_file_that_is_not_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(tmp_path, "[: bad"), environment={})
    assert "\n" not in raised.value.detail


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.yaml does not exist"):
        load_settings(tmp_path / "nope.yaml", environment={})


def test_the_command_line_goes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "http: {port: 1}\nstate: {folder: /file}")
    variables = {"MEMOS_CONFIG": str(file), "MEMOS_PORT": "2", "MEMOS_STATE": "/env"}
    assert load_settings(None, environment={"MEMOS_CONFIG": str(file)}).http.port == 1
    assert load_settings(None, environment=variables).http.port == 2
    assert load_settings(None, environment=variables).state_folder == Path("/env")
    assert load_settings(None, Path("/cli"), 3, variables).http.port == 3
    assert load_settings(None, Path("/cli"), 3, variables).state_folder == Path("/cli")


def test_an_empty_section_keeps_its_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "state:\n"), tmp_path, environment={}).http.port == 8000


@pytest.mark.parametrize("text", ["", "state: {folder: .memos}\nmodels: {engine: {model_path: ./model}}"])
def test_relative_paths_mean_the_folder_that_memos_is_called_in(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_in, runs_in = tmp_path / "here", tmp_path / "there"
    called_in.mkdir()
    runs_in.mkdir()
    monkeypatch.chdir(called_in)
    settings = load_settings(write(tmp_path, text), environment={})
    sent = settings.model_dump(mode="json")
    monkeypatch.chdir(runs_in)
    received = Settings.model_validate(sent)
    assert received.state_folder == called_in / ".memos"
    assert received.models.engine.model_path in (None, called_in / "model")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().http.port = 1


def test_shards_are_where_the_uri_says() -> None:
    settings = Settings.model_validate({"state": {"folder": "/s", "journal_uri": "s3://bucket/memos/"}})
    assert settings.shards_uri == "s3://bucket/memos"
    assert Settings.model_validate({"state": {"folder": "/s"}}).shards_uri == "/s/shards"


def test_a_jobs_process_needs_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMOS_URL", raising=False)
    with pytest.raises(ConfigError, match="memos job submit"):
        job_environment()


def test_a_milvus_is_described_with_its_token_and_a_prefix_of_the_states_own(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("root:Milvus\n")
    chosen = f"vectors: {{backend: milvus, uri: 'http://127.0.0.1:19530', token_file: {token}}}"
    settings = load_settings(write(tmp_path, chosen), environment={})
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    one, other = (vector_store(settings.vectors, key) for key in (b"k" * 32, b"q" * 32))
    assert (one.backend, one.uri, one.token) == ("milvus", "http://127.0.0.1:19530", "root:Milvus")
    assert one.prefix != other.prefix
    assert "root:Milvus" not in repr(one)
    token.unlink()
    with pytest.raises(ConfigError, match="token_file"):
        vector_store(settings.vectors, b"k" * 32)
