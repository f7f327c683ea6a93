"""Sentence embeddings by a local encoder: mean pooling, unit length."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from actors.errors import ConfigError
from actors.memory.ports import Vectors
from actors.models.loading import load_model, load_tokenizer, model_folder, pick_device, pick_dtype, use_threads
from actors.models.weights import identify

MAX_BATCH_TEXTS = 64
CHARS_PER_TOKEN = 32
"""No usual text has longer tokens on average: what lies beyond is cut before the tokenizer reads it."""


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """What an embedder is made of. `device` and `dtype` empty: the best that is here; `name` empty: the folder's.

    `batch_tokens` bounds one forward pass, padding included. Batches of several texts are padded to a multiple of
    `padded_to` tokens: the libraries below torch keep code for every shape they met, and texts that come in have many;
    queries are short, and few, and each token of padding costs them. `setting` names the setting that `path` came
    from, for error messages.
    """

    path: str
    threads: int = 1
    batch_tokens: int = 4096
    padded_to: int = 1
    device: str = ""
    dtype: str = ""
    name: str = ""
    setting: str = "models.embedder.model_path"


class TransformersEmbedder:
    """Embeds texts with an encoder of transformers (sentence-transformers' mean pooling). Safe from any thread.

    A text longer than the model's `max_length` tokens is represented by its beginning. The same texts give the
    same vectors. In bf16 a text's vector depends on its batch by rounding alone (cosine over .9999): batches
    of another shape add up in another order. Raises ConfigError when the folder does not hold an encoder.
    """

    def __init__(self, spec: EmbedderSpec) -> None:
        folder = model_folder(spec.path, spec.setting)
        self._device = pick_device(spec.device)
        use_threads(spec.threads)
        self._threads = spec.threads
        self._batch_tokens, self._padded_to = spec.batch_tokens, spec.padded_to
        self._tokenizer = load_tokenizer(folder, spec.setting)
        dtype = pick_dtype(self._device, spec.dtype)
        self._model = load_model(AutoModel, folder, spec.setting, self._device, dtype)
        _refuse_other_pooling(folder, spec.setting)
        self._max_length = _max_length(folder, self._model.config)
        self._pad = int(self._tokenizer.pad_token_id or 0)
        self._dimension = int(self._model.config.hidden_size)
        self._model_id = identify(folder, spec.name)
        self._one_at_a_time = threading.Lock()
        self.embed(["warm up", "a second text, so that padding and masks are warm too"])

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read."""
        return self._max_length

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        if not texts:
            return vectors
        with self._one_at_a_time:
            use_threads(self._threads)
            tokens = self._tokenize(texts)
            for rows in batches([len(ids) for ids in tokens], self._batch_tokens):
                vectors[rows] = self._forward([tokens[row] for row in rows])
        return vectors

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        cut = self._max_length * CHARS_PER_TOKEN
        # A lone surrogate is no character: the tokenizer could not read it.
        readable = [text[:cut].encode("utf-8", "replace").decode("utf-8") for text in texts]
        encoded = self._tokenizer(readable, truncation=True, max_length=self._max_length)
        tokens: list[list[int]] = encoded["input_ids"]
        return tokens

    @torch.inference_mode()
    def _forward(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        longest = max(map(len, tokens))
        if len(tokens) > 1:
            longest = min(-(-longest // self._padded_to) * self._padded_to, self._max_length)
        ids = torch.full((len(tokens), longest), self._pad, dtype=torch.long)
        mask = torch.zeros((len(tokens), longest), dtype=torch.long)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = torch.tensor(own)
            mask[row, : len(own)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        # A batch without padding needs no mask, and attention without one is faster.
        needed = mask if min(map(len, tokens)) < longest else None
        hidden = self._model(input_ids=ids, attention_mask=needed).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        unit: Vectors = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return unit


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of similar length together, each batch at most `batch_tokens` with padding, or one row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == MAX_BATCH_TEXTS or lengths[row] * (len(batch) + 1) > batch_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _max_length(folder: Path, config: Any) -> int:
    """What sentence-transformers would read of a text, else what the model has positions for."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    return min(int(_json(folder / "sentence_bert_config.json").get("max_seq_length") or positions), positions)


def _refuse_other_pooling(folder: Path, setting: str) -> None:
    pooling = _json(folder / "1_Pooling" / "config.json")
    if pooling and not pooling.get("pooling_mode_mean_tokens", pooling.get("pooling_mode") == "mean"):
        raise ConfigError(f"{setting}: {folder} pools in another way than by the mean", path=str(folder))


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}", path=str(path)) from error
    return found
