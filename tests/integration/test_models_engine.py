"""The engine for local models: what `generate` would say, piece by piece, one answer at a time."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from actors.errors import ConfigError, InvalidRequest, Overloaded
from actors.memory.engine_ports import ChatTurn, Sampling
from actors.models import language_model
from actors.models.decoding import TextStream
from actors.models.engine import EngineSpec, TransformersEngine
from actors.models.kv_cache import PreallocatedLayer
from actors.models.language_model import LanguageModel
from actors.models.sampling import TokenSampler, nucleus
from actors.models.weights import default_engine_path
from tests.contracts.engine_contract import HELLO, EngineContract, text_of

MAX_WAITING = 3


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    spec = EngineSpec(path=str(default_engine_path()), max_waiting=MAX_WAITING, context_tokens=256)
    return TransformersEngine(spec)


class TestSmolLM2(EngineContract):
    pass


TURNS = (
    ChatTurn("system", "You know: the user's dog is called Biscuit. It is afraid of thunder."),
    ChatTurn("user", "What is my dog called, and what is it afraid of?"),
)


@pytest.fixture(scope="module")
def reference() -> tuple[Any, Any]:
    path = default_engine_path()
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    return AutoTokenizer.from_pretrained(path, local_files_only=True), model.eval()


@pytest.mark.parametrize("chunk_tokens", [2048, 7])
def test_greedy_answers_in_fp32_are_those_of_generate(
    reference: tuple[Any, Any], chunk_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "PREFILL_CHUNK_TOKENS", chunk_tokens)
    tokenizer, model = reference
    engine = TransformersEngine(EngineSpec(path=str(default_engine_path()), dtype="float32"))
    for turns in (TURNS, HELLO):
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            whole = model.generate(**prompt, max_new_tokens=32, do_sample=False)
        expected = tokenizer.decode(whole[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text_of(engine.generate(turns, Sampling(max_tokens=32))) == expected


SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL),
        Qwen3Config(**SMALL),
        MistralConfig(**SMALL, sliding_window=8),
        Gemma2Config(**SMALL, sliding_window=8, final_logit_softcapping=5.0),
        GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=256, eos_token_id=None),
    ],
    ids=lambda config: config.model_type,
)
def test_steps_agree_with_generate_whatever_the_architecture(config: Any) -> None:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    prompt = torch.randint(1, 64, (1, 30))
    with torch.inference_mode():
        whole = model.generate(prompt, max_new_tokens=20, do_sample=False)[0, 30:].tolist()
        last = model(prompt).logits[0, -1]
    steps = LanguageModel(model)
    cache = steps.new_cache(50)
    steps.step(prompt[0, :11].tolist(), cache)  # in two pieces: the second attends to the first
    logits = steps.step(prompt[0, 11:].tolist(), cache)
    torch.testing.assert_close(logits, last, atol=1e-4, rtol=1e-3)
    drawn = []
    for _ in range(20):
        drawn.append(int(logits.argmax()))
        logits = steps.step(drawn[-1:], cache)
    assert drawn == whole


def test_a_preallocated_cache_refuses_what_it_has_no_room_for() -> None:
    layer, states = PreallocatedLayer(4), torch.ones(1, 2, 3, 8)
    layer.update(states, states)
    with pytest.raises(IndexError):
        layer.update(states, states)
    keys, values = layer.update(states[:, :, :1], states[:, :, :1])
    assert keys.shape == values.shape == (1, 2, 4, 8)


def test_tokens_that_cut_characters_are_streamed_as_whole_characters(engine: TransformersEngine) -> None:
    text = "日本語、ünïcödé 👩‍👩‍👧 🇳🇱 नमस्ते"
    tokens = engine._tokenizer(text, add_special_tokens=False)["input_ids"]
    stream = TextStream(engine._decode)
    pieces = [stream.push(token) for token in tokens]
    assert "".join(pieces) + stream.finish() == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_too_many_waiting_are_refused_and_a_closed_one_makes_room(engine: TransformersEngine) -> None:
    answers = [engine.generate(HELLO, Sampling(max_tokens=2)) for _ in range(MAX_WAITING + 1)]
    with pytest.raises(Overloaded) as refused:
        engine.generate(HELLO, Sampling(max_tokens=2))
    assert refused.value.facts["retry_after_s"] >= 1
    answers[2].close()
    answers.append(engine.generate(HELLO, Sampling(max_tokens=2)))
    for answer in answers:
        answer.close()
    assert engine.waiting == 0


def test_answers_at_once_are_the_answers_alone(engine: TransformersEngine) -> None:
    alone = {turns: text_of(engine.generate(turns, Sampling(max_tokens=8))) for turns in (TURNS, HELLO)}
    start = threading.Barrier(MAX_WAITING)

    def ask(number: int) -> bool:
        turns = (TURNS, HELLO)[number % 2]
        start.wait()
        return text_of(engine.generate(turns, Sampling(max_tokens=8))) == alone[turns]

    with ThreadPoolExecutor(MAX_WAITING) as threads:
        assert all(threads.map(ask, range(MAX_WAITING)))


def test_no_room_for_an_answer_is_not_asked_for(engine: TransformersEngine) -> None:
    with pytest.raises(InvalidRequest):
        engine.generate(HELLO, Sampling(max_tokens=0))


def test_loading_and_answering_call_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        pytest.fail("a model called out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    TransformersEngine(EngineSpec(path=str(default_engine_path()), context_tokens=64))


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A copy of the model's folder, its weights left out."""
    folder = tmp_path / "model"
    shutil.copytree(default_engine_path(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    yield folder


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        TransformersEngine(EngineSpec(path=str(path), setting="models.engine.model_path"))
    assert str(path) in caught.value.detail
    assert "models.engine.model_path" in caught.value.detail
    return caught.value.detail


def test_a_path_that_is_no_model_is_named_with_its_setting(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere")
    assert "config.json" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused(tmp_path / "file")


@pytest.mark.parametrize("weights", [None, b"", b"garbage" * 1000], ids=["missing", "empty", "garbage"])
def test_weights_that_cannot_be_read_are_named(broken: Path, weights: bytes | None) -> None:
    if weights is not None:
        (broken / "model.safetensors").write_bytes(weights)
    refused(broken)


def test_a_config_that_cannot_be_read_is_named(broken: Path) -> None:
    (broken / "config.json").write_text("{not json")
    refused(broken)


def test_a_model_without_a_chat_template_is_refused(broken: Path) -> None:
    (broken / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="chat template"):
        TransformersEngine(EngineSpec(path=str(broken)))


def test_top_p_keeps_the_likeliest_until_their_sum_reaches_it() -> None:
    probabilities = torch.tensor([0.1, 0.5, 0.15, 0.25])
    assert nucleus(probabilities, 0.7).nonzero().flatten().tolist() == [1, 3]
    assert nucleus(probabilities, 0.0001).nonzero().flatten().tolist() == [1]


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1]))
    sampler = TokenSampler(Sampling(temperature=1.0, seed=1))
    drawn = [sampler.draw(logits) for _ in range(3000)]
    shares = [drawn.count(token) / 3000 for token in range(3)]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.04)
    cold = TokenSampler(Sampling(temperature=0.05, seed=1))
    assert {cold.draw(logits) for _ in range(50)} == {0}
