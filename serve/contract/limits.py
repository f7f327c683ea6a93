"""Every limit of the HTTP interface, in one place. A request over one is refused, naming it."""

from __future__ import annotations

from typing import Final

BODY_BYTES: Final = 8 * 1024 * 1024
"""Body of a request, counted while it is read."""

BODIES_BYTES: Final = 128 * 1024 * 1024
"""Bodies of all requests that an ingress replica holds at once."""

BODY_S: Final = 30
"""Seconds in which a body must have arrived."""

ARCHIVE_S: Final = 3600
"""Seconds in which an archive must have arrived, none of its pieces more than BODY_S after the one before. Its size is
bounded by the setting `limits.archive_bytes`."""

DRAINED_BYTES: Final = 64 * 1024 * 1024
"""What is still read, and thrown away, of an archive that was refused, so that its sender sees why."""

JSON_DEPTH: Final = 32
"""Nesting of arrays and objects in a body."""

MEMORIES_PER_ADD: Final = 1_000
"""Memories that one add makes, the chunks of its documents included."""

MEMORIES_NAMED: Final = 200
"""Memories that one memory supersedes, or names as derived from, in one request."""

TEXT_BYTES: Final = 64 * 1024
"""Text of one memory, in UTF-8."""

DOCUMENT_BYTES: Final = 4 * 1024 * 1024
"""A document before it is split."""

QUERY_BYTES: Final = 8 * 1024
"""Query of a search, and what a chat searches with."""

TOP_K: Final = 200
TOP_K_DEFAULT: Final = 10
CUBES_PER_REQUEST: Final = 64

CONSOLIDATED_ROWS: Final = 1_000
"""Rows that one step of a consolidation looks at."""

LIST_LIMIT: Final = 200
LIST_LIMIT_DEFAULT: Final = 50
CURSOR_CHARS: Final = 512

LABEL_CHARS: Final = 256
"""Names, references, sessions, speakers, types, tags and reasons."""

REASON_CHARS: Final = 1_024
TAGS: Final = 32
METADATA_BYTES: Final = 16 * 1024
METADATA_DEPTH: Final = 8
FILTER_BYTES: Final = 16 * 1024

SCREENED_AT_ONCE: Final = 200
"""Older memories that one request looks through for personal data; some 10 ms each."""

ID_CHARS: Final = 128
IDEMPOTENCY_KEY_CHARS: Final = 256
REQUEST_ID_CHARS: Final = 128

CHAT_TURNS: Final = 1_000
CHAT_CHARS: Final = 1_000_000
CHAT_TOP_K_DEFAULT: Final = 8
MAX_TOKENS: Final = 32_768
STOPS: Final = 4
