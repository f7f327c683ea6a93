"""From token ids to text that may be shown: whole characters only, and nothing that may become a stop sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""What a tokenizer shows for bytes that are not (yet) a character."""

MAX_HELD_TOKENS = 8
"""No character has more bytes than a few tokens: after so many, broken bytes are shown as they are."""

Decode = Callable[[Sequence[int]], str]


class TextStream:
    """Turns tokens into text as they come.

    A token may end in the middle of a character; its text is held back until the character is whole. Tokens
    are decoded together with the piece before, since a tokenizer may render one differently at a beginning.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context = 0
        self._shown = 0

    def push(self, token: int) -> str:
        """The text that became certain with `token`; may be empty."""
        self._tokens.append(token)
        before, after = self._texts()
        held = len(self._tokens) - self._shown
        if after.endswith(REPLACEMENT) and held < MAX_HELD_TOKENS:
            return ""
        self._context, self._shown = self._shown, len(self._tokens)
        return after[len(before) :]

    def finish(self) -> str:
        """What is still held back, broken characters replaced."""
        before, after = self._texts()
        self._context = self._shown = len(self._tokens)
        return after[len(before) :]

    def _texts(self) -> tuple[str, str]:
        tail = self._tokens[self._context :]
        return self._decode(tail[: self._shown - self._context]), self._decode(tail)


class StopScanner:
    """Finds the first stop sequence in a text that comes in pieces, across their borders."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The part that may be shown. Once `stopped`, nothing more comes; the stop sequence itself never does.

        The end of a text that may be the beginning of a stop sequence is held back.
        """
        if self.stopped:
            return ""
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max((overlap(self._held, stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def finish(self) -> str:
        """What is still held back: it did not become a stop sequence."""
        shown, self._held = self._held, ""
        return shown


class AnswerText:
    """The text of one answer, from its tokens to what may be shown."""

    def __init__(self, decode: Decode, stops: Sequence[str]) -> None:
        self._stream = TextStream(decode)
        self._scanner = StopScanner(stops)

    @property
    def stopped(self) -> bool:
        """A stop sequence was found: the answer ends here."""
        return self._scanner.stopped

    def push(self, token: int) -> str:
        return self._scanner.push(self._stream.push(token))

    def finish(self) -> str:
        """What was held back, at the end of the answer."""
        return self._scanner.push(self._stream.finish()) + self._scanner.finish()


def overlap(text: str, stop: str) -> int:
    """The length of the longest proper beginning of `stop` that ends `text`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
