"""SmolLM2's GGUF file as a bf16 Hugging Face folder: config, weights, tokenizer, chat template."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from actors.models.loading import quiet


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of `gguf` to `folder`, which must exist and be empty.

    Dequantised in fp32, rounded to bf16 once. Takes some seconds and 1 GB of memory. Raises OSError when the
    disk is full.
    """
    quiet()
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # progress bars of other tools
        warnings.simplefilter("ignore")
        _convert_tokenizer(gguf, folder)
        _convert_weights(gguf, folder)


def _convert_weights(gguf: Path, folder: Path) -> None:
    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    read = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=shape)  # type: ignore[no-untyped-call]
    tensors = read["tensors"]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    model.tie_weights()
    model.load_state_dict({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]})
    model.save_pretrained(folder)


def _convert_tokenizer(gguf: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    # SmolLM2 was trained with every digit a word of its own; the GGUF reader of transformers knows only bytes.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = 8192
    tokenizer.save_pretrained(folder)
