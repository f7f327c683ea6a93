"""Drawing a token from logits."""

from __future__ import annotations

import torch

from actors.memory.engine_ports import Sampling


class TokenSampler:
    """Draws tokens as a Sampling asks. The same seed draws the same tokens on the same machine and type."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def draw(self, logits: torch.Tensor) -> int:
        """A token id; `logits` has shape (vocabulary,). Temperature 0 takes the first of the likeliest."""
        if self._temperature <= 0:
            return int(logits.argmax())
        # Drawn on the processor in fp32, so that a seed means the same whatever device the model is on.
        scores = logits.float().cpu() / self._temperature
        probabilities = torch.softmax(scores, dim=-1)
        if self._top_p < 1:
            probabilities = nucleus(probabilities, self._top_p)
        return int(torch.multinomial(probabilities, 1, generator=self._random))


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest set of likeliest tokens whose probability reaches `top_p`, the rest zero (not normalised).

    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020. The likeliest token always stays.
    """
    ordered, indices = probabilities.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    keep = before < top_p
    keep[0] = True
    return torch.zeros_like(probabilities).scatter(0, indices, ordered * keep)
