"""The process that reads one document: `python -m actors.models.document_child FORMAT`, the document on stdin.

A document comes from anywhere, and the parsers of its formats are large: what one of them does wrong, takes or never
ends with stays in here. Answers JSON on stdout: {"text": …} or {"refused": why}.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys
import warnings

MEMORY_BYTES = 3 * 1024**3
"""Address space; a PDF of some MB takes some hundred MB, the libraries' own mappings a GB."""

CPU_S = 60
"""Seconds of the processor."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it reads, and writes to a pipe
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(_answer(sys.argv[1], sys.stdin.buffer.read())))


def _answer(kind: str, data: bytes) -> dict[str, str]:
    try:
        return {"text": _read(kind, data)}
    except MemoryError:
        return {"refused": f"reading it takes more than {MEMORY_BYTES >> 30} GB of memory"}
    except Exception as error:  # noqa: BLE001 - the loop of the process: parsers of damaged files raise anything
        return {"refused": _reason(error)}


def _read(kind: str, data: bytes) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter, HtmlConverter, PdfConverter, PptxConverter, XlsxConverter

    converters = {
        "pdf": PdfConverter,
        "docx": DocxConverter,
        "pptx": PptxConverter,
        "xlsx": XlsxConverter,
        "html": HtmlConverter,
    }
    info = StreamInfo(extension=f".{kind}", charset="utf-8")
    text: str = converters[kind]().convert(io.BytesIO(data), info).markdown
    return text


def _reason(error: BaseException) -> str:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    names = {type(each).__name__ for each in chain} | {type(arg).__name__ for each in chain for arg in each.args}
    if names & {"PDFPasswordIncorrect", "PDFEncryptionError", "FileNotDecryptedError"}:
        return "it is encrypted: save it without a password"
    last = chain[0]
    return f"it is cut short or damaged ({type(last).__name__}{f': {last}' if str(last) else ''})"[:300]


if __name__ == "__main__":
    main()
