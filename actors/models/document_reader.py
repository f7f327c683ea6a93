"""Documents of all formats as Markdown: each is read by a process of its own, which ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Final

from actors.errors import DocumentRefused, Overloaded
from actors.models.document_formats import Format, Unfolding, format_of

AT_ONCE: Final = 1
"""Documents that are read at once: each takes a core and some hundred MB."""

WAIT_S: Final = 20.0
"""How long a document waits for those before it."""

READ_S: Final = 90.0
"""How long one may take, the start of its process included."""

UNFOLDED_BYTES: Final = 256 * 1024 * 1024
"""What an Office document may unfold to."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    text: str
    format: Format


class DocumentReader:
    """Reads what people keep documents in. Safe to use from many threads; blocks while it reads."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S, read_s: float = READ_S) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._wait_s = wait_s
        self._read_s = read_s

    def read(self, name: str, data: bytes) -> ReadDocument:
        """The document as Markdown, text as it is.

        Raises DocumentRefused, naming why, for one that is encrypted, damaged, empty, of a format that is not read or
        of another than its name says, or that takes too long; Overloaded when others are being read.
        """
        found = format_of(name, data, Unfolding(UNFOLDED_BYTES))
        text = (
            data.decode("utf-8").removeprefix("\ufeff") if found is Format.TEXT else self._converted(name, found, data)
        )
        if not text.strip():
            raise DocumentRefused(f"{name} holds no text (pictures of pages are not read)", document=name)
        return ReadDocument(text.replace("\0", ""), found)

    def _converted(self, name: str, found: Format, data: bytes) -> str:
        if not self._places.acquire(timeout=self._wait_s):
            raise Overloaded("other documents are being read", retry_after_s=5)
        try:
            child = subprocess.run(
                [sys.executable, "-m", "actors.models.document_child", found.value],
                input=data,
                capture_output=True,
                timeout=self._read_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DocumentRefused(f"{name} takes longer than {self._read_s:g} s to read", document=name) from None
        finally:
            self._places.release()
        try:
            answer = json.loads(child.stdout)
        except ValueError:
            reason = f"it ended the process that read it ({child.returncode}): it takes too much time or memory"
            raise DocumentRefused(f"{name} cannot be read: {reason}", document=name) from None
        if "refused" in answer:
            raise DocumentRefused(f"{name} cannot be read: {answer['refused']}", document=name)
        text: str = answer["text"]
        return text
