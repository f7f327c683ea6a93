"""What every Embedder must do. Inherit, and provide the `embedder` fixture."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from actors.memory.ports import Embedder

TEXTS = (
    "Caroline adopted a greyhound called Biscuit.",
    "",
    "The invoice is due on 3 October.",
    "日本語の文 und Umlaute: äöü 🙂",
    "word " * 2000,
    "short",
    "\ud800 lone surrogate\x00 and a null",
)


class EmbedderContract:
    def test_each_row_is_a_unit_vector_in_float32(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dimension)

    def test_rows_come_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        backwards = embedder.embed(TEXTS[::-1])[::-1]
        together = embedder.embed(TEXTS)
        assert np.all(np.sum(backwards * together, axis=1) > 0.9995)

    def test_a_vector_does_not_depend_on_its_batch_beyond_rounding(self, embedder: Embedder) -> None:
        together = embedder.embed(TEXTS)
        for text, vector in zip(TEXTS, together, strict=True):
            assert embedder.embed([text])[0] @ vector > 0.9995

    def test_the_same_texts_give_the_same_vectors(self, embedder: Embedder) -> None:
        np.testing.assert_array_equal(embedder.embed(TEXTS), embedder.embed(TEXTS))

    def test_different_texts_give_different_vectors(self, embedder: Embedder) -> None:
        first, second = embedder.embed([TEXTS[0], TEXTS[2]])
        assert first @ second < 0.99

    def test_threads_may_embed_at_once(self, embedder: Embedder) -> None:
        alone = [embedder.embed([text])[0] for text in TEXTS]
        start = threading.Barrier(4)

        def embed(_: int) -> list[np.ndarray]:
            start.wait()
            return [embedder.embed([text])[0] for text in TEXTS]

        with ThreadPoolExecutor(4) as threads:
            for found in threads.map(embed, range(4)):
                np.testing.assert_array_equal(found, alone)

    def test_the_model_id_names_model_and_revision(self, embedder: Embedder) -> None:
        name, _, revision = embedder.model_id.partition("@")
        assert name
        assert revision
