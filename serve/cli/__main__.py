"""`python -m serve.cli` is `memos`."""

from __future__ import annotations

from serve.cli.main import main

main()
