"""The file system of an object store, for the files that Delta does not write itself.

S3 is pyarrow's own: deltalake's file system holds Python's interpreter lock while it waits for the network, so one slow
answer of the store would stop every thread of the process. Other stores still go through it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlparse

import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

TRIES = 6
"""Of a request that is throttled, dropped or answered with a server's error; the pauses between them double."""

_S3_SCHEMES = ("s3", "s3a")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """`files` is a pyarrow file system, `folder` the path in it that the URI stands for ("" or ending in "/").

    `put(path, data)` stores an object whole, in the place of one that is there.
    """

    files: Any
    folder: str
    put: Callable[[str, bytes], None]


def object_store(uri: str, options: Mapping[str, str]) -> ObjectStore:
    """The store behind a URI. Contacts nothing for S3. Raises OSError, DeltaError, pa.ArrowException."""
    parsed = urlparse(uri)
    if parsed.scheme in _S3_SCHEMES:
        files = _s3(frozenset((name.lower(), value) for name, value in options.items()))
        return ObjectStore(files, f"{parsed.netloc}{parsed.path}".rstrip("/") + "/", _put_by(files))
    handler = DeltaStorageHandler(uri, dict(options))
    return ObjectStore(pafs.PyFileSystem(handler), "", _put_past_pyarrow(handler))


@lru_cache(maxsize=16)
def _s3(options: frozenset[tuple[str, str]]) -> Any:
    """One client, with its connections, for all folders with the same options; these are named as Delta names them."""
    given = {name.removeprefix("aws_"): value for name, value in options}

    def first(*names: str) -> str | None:
        return next((given[name] for name in names if given.get(name)), None)

    endpoint = first("endpoint_url", "endpoint")
    return pafs.S3FileSystem(
        access_key=first("access_key_id"),
        secret_key=first("secret_access_key"),
        session_token=first("session_token", "token"),
        anonymous=given.get("skip_signature", "").lower() == "true",
        region=first("region", "default_region"),
        endpoint_override=endpoint,
        scheme=urlparse(endpoint).scheme or "https" if endpoint else "https",
        force_virtual_addressing=given.get("virtual_hosted_style_request", "").lower() == "true",
        allow_delayed_open=True,  # a small object is then one request
        background_writes=False,
        connect_timeout=_seconds(given.get("connect_timeout")),
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1 + int(given.get("max_retries", TRIES - 1))),
    )


def _seconds(text: str | None) -> float | None:
    """A duration as object stores' options write it: "5s", "500ms"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text or "")
    return None if found is None else float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2]]


def _put_by(files: Any) -> Callable[[str, bytes], None]:
    def put(path: str, data: bytes) -> None:
        with files.open_output_stream(path) as stream:
            stream.write(data)

    return put


def _put_past_pyarrow(handler: Any) -> Callable[[str, bytes], None]:
    def put(path: str, data: bytes) -> None:
        # Past pyarrow's stream, which hands its own buffers on: deltalake 1.6 takes bytes alone.
        stream = handler._handler.open_output_stream(path)
        stream.write(data)
        stream.close()

    return put
