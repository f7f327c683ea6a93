"""From an add's body to memories: documents in chunks of whole sentences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.contract.memories import AddBody
from serve.documents import DocumentText
from serve.reading import CHUNK_CHARS, split, to_add


def texts_of(body: AddBody) -> list[DocumentText]:
    return [DocumentText(document.content or "") for document in body.documents]


HANDBOOK = """# Handbook

We open at nine. We close at five! Do we open on Sundays? No.

## Holidays
Everybody has 30 days.
They are asked for by mail, "well before." Then somebody answers.
"""


def test_a_heading_begins_a_chunk_and_keeps_its_sentences() -> None:
    chunks = split(HANDBOOK)
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["# Handbook", "## Holidays"]
    assert chunks[1].text.endswith("Then somebody answers.")


def test_chunks_end_with_a_sentence() -> None:
    chunks = split("A short sentence here. " * 200)
    assert all(chunk.text.endswith(".") and len(chunk.text) <= CHUNK_CHARS for chunk in chunks)
    assert len(chunks) == 6


@given(st.text(alphabet=" \n#ab.?!\u3002\"'\u00e9\U0001f600", max_size=400), st.integers(min_value=5, max_value=60))
def test_only_white_space_is_lost_and_offsets_name_the_text(content: str, chunk_chars: int) -> None:
    chunks = split(content, chunk_chars)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(content.split())
    end = 0
    for chunk in chunks:
        assert content[chunk.start : chunk.end] == chunk.text
        assert chunk.start >= end and chunk.text.strip() == chunk.text and len(chunk.text) <= chunk_chars
        end = chunk.end


def test_a_documents_chunks_name_their_place() -> None:
    body = AddBody.model_validate({"documents": [{"name": "handbook.md", "content": HANDBOOK, "tags": ["hr"]}]})
    first, second = to_add(body, texts_of(body), "").memories
    assert (first.ref, second.ref) == ("handbook.md#1", "handbook.md#2")
    assert (first.type, first.tags) == ("document", ("hr",))
    assert second.source["name"] == "handbook.md"
    assert HANDBOOK[second.source["start"] : second.source["end"]] == second.text


def test_an_add_keeps_the_order_messages_texts_documents() -> None:
    body = AddBody.model_validate(
        {
            "documents": [{"name": "d", "content": "three"}],
            "texts": [{"text": "two", "type": "fact"}],
            "messages": [{"role": "assistant", "content": "one"}],
        }
    )
    memories = to_add(body, texts_of(body), "key").memories
    assert [memory.text for memory in memories] == ["one", "two", "three"]
    assert [memory.type for memory in memories] == ["message", "fact", "document"]
    assert memories[0].speaker == "assistant"
