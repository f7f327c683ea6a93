"""The embedder for local models: sentence-transformers' vectors, in any batch."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from actors.errors import ConfigError
from actors.models.embedder import EmbedderSpec, TransformersEmbedder, batches
from actors.models.weights import EMBEDDER_SOURCE, check, default_embedder_path
from tests.contracts.embedder_contract import TEXTS, EmbedderContract


def embedder_of(path: Path, **options: Any) -> TransformersEmbedder:
    return TransformersEmbedder(EmbedderSpec(path=str(path), **options))


@pytest.fixture(scope="module", params=["", "float32"], ids=["best", "float32"])
def embedder(request: pytest.FixtureRequest) -> TransformersEmbedder:
    return embedder_of(default_embedder_path(), dtype=request.param)


class TestMiniLM(EmbedderContract):
    def test_vectors_are_the_mean_over_the_tokens(self, embedder: TransformersEmbedder) -> None:
        path = default_embedder_path()
        tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
        for text in (TEXTS[0], TEXTS[3]):
            with torch.inference_mode():
                hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            assert embedder.embed([text])[0] @ (hidden / hidden.norm()).numpy() > 0.9995

    def test_like_meanings_are_near(self, embedder: TransformersEmbedder) -> None:
        dog, hound, invoice = embedder.embed(["my dog is called Biscuit", "the name of my greyhound", "pay the bill"])
        assert dog @ hound > dog @ invoice + 0.2

    def test_the_rest_of_a_long_text_is_not_read(self, embedder: TransformersEmbedder) -> None:
        beginning = "word " * 300
        first, second = embedder.embed([beginning + "cat", beginning + "a whole other ending"])
        np.testing.assert_array_equal(first, second)

    def test_a_text_of_a_megabyte_is_cut_before_it_is_read(self, embedder: TransformersEmbedder) -> None:
        assert embedder.embed(["x" * 1_000_000]).shape == (1, embedder.dimension)


def test_the_installed_weights_are_the_pinned_ones() -> None:
    assert check(EMBEDDER_SOURCE).parent == default_embedder_path()


def test_the_id_says_which_model_whatever_type_it_computes_in() -> None:
    ids = {embedder_of(default_embedder_path(), dtype=dtype).model_id for dtype in ("float32", "bfloat16")}
    assert len(ids) == 1
    assert ids.pop().startswith("all-minilm-l6-v2@")


def test_batches_are_bounded_and_hold_every_row_once() -> None:
    lengths = [5, 200, 7, 1, 64, 64, 300, 2]
    made = list(batches(lengths, 128))
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= 128 for batch in made)


def test_loading_and_embedding_call_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        pytest.fail("a model called out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    embedder_of(default_embedder_path())


@pytest.mark.parametrize("problem", ["missing", "empty", "no weights", "other pooling", "no such type"])
def test_what_cannot_be_an_embedder_is_named_with_its_setting(problem: str, tmp_path: Path) -> None:
    folder, options = tmp_path / "model", {}
    if problem == "empty":
        folder.mkdir()
    elif problem != "missing":
        left_out = ["*.safetensors"] if problem == "no weights" else []
        shutil.copytree(default_embedder_path(), folder, ignore=shutil.ignore_patterns(*left_out))
    if problem == "other pooling":
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": false}')
    if problem == "no such type":
        options["dtype"] = "float13"
    with pytest.raises(ConfigError) as caught:
        embedder_of(folder, **options)
    assert ("float13" if options else str(folder)) in caught.value.detail
