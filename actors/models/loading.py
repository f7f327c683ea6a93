"""What loading any local Hugging Face model has in common: device, type, threads, quiet, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from actors.errors import ConfigError


def quiet() -> None:
    """Silence transformers' progress bars and advice for this process; errors still come as exceptions."""
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def pick_device(wanted: str = "") -> torch.device:
    """The device to run on: `wanted` if named, else the first CUDA device, else the processor. Raises ConfigError."""
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {wanted!r} cannot be used here: {error}", device=wanted) from error
    return device


def pick_dtype(device: torch.device, wanted: str = "") -> torch.dtype:
    """bfloat16 where the device computes in it, else float32. `wanted` ("bfloat16", "float32") overrides.

    A processor without bf16 instructions emulates them, several times slower than fp32.
    """
    if wanted:
        dtype = getattr(torch, wanted, None)
        if not isinstance(dtype, torch.dtype):
            raise ConfigError(f"no number type {wanted!r}; use bfloat16 or float32", dtype=wanted)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    features = torch.cpu.get_capabilities()
    fast = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


def use_threads(threads: int) -> None:
    """Let torch compute with `threads` threads. To be called on the thread that computes: OpenMP counts per thread."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def model_folder(path: str | Path, setting: str) -> Path:
    """`path` resolved, known to be a Hugging Face model folder. Raises ConfigError naming path and setting."""
    folder = Path(path).expanduser()
    problem = None
    if not folder.exists():
        problem = "does not exist"
    elif not folder.is_dir():
        problem = "is not a folder"
    elif not (folder / "config.json").is_file():
        problem = "has no config.json; a Hugging Face model folder is needed"
    if problem is not None:
        raise ConfigError(f"{setting}: {folder} {problem}", path=str(folder), setting=setting)
    return folder.resolve()


def load(kind: Any, folder: Path, setting: str, **options: Any) -> Any:
    """`kind.from_pretrained(folder)` from local files alone. Raises ConfigError naming path and setting."""
    quiet()
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"{setting}: {folder} cannot be loaded: {reason}", path=str(folder), setting=setting
        ) from error


def load_model(kind: Any, folder: Path, setting: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A model in evaluation mode on `device`, its weights complete. Raises ConfigError."""
    loaded, info = load(kind, folder, setting, dtype=dtype, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ConfigError(
            f"{setting}: {folder} lacks {len(missing)} weights, {missing[0]} among them",
            path=str(folder),
            setting=setting,
        )
    return loaded.eval().requires_grad_(False).to(device)


def load_tokenizer(folder: Path, setting: str) -> Any:
    """The folder's fast tokenizer. Raises ConfigError."""
    return load(AutoTokenizer, folder, setting)


def load_config(folder: Path, setting: str) -> Any:
    """The folder's model configuration. Raises ConfigError."""
    return load(AutoConfig, folder, setting)
