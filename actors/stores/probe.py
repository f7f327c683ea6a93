"""Whether a storage can be written, found out in seconds and told so that a person knows what to do."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from urllib.parse import urlparse

import pyarrow as pa

from actors.errors import ConfigError, MemosError, StorageUnavailable
from actors.stores.location import Location, StorageSpec

QUICK = {"max_retries": "1", "connect_timeout": "5s", "timeout": "10s", "retry_timeout": "10s"}
"""Options under which a store that does not answer is given up soon."""

_CREDENTIALS = "state.storage_options, or what state.storage_options_from names"
_SIGNS = (
    (("expired",), "the credentials have expired: renew them", _CREDENTIALS),
    (
        (
            "invalid_access_key",
            "invalidaccesskeyid",
            "signature_does_not_match",
            "signaturedoesnotmatch",
            "invalid_client",
        ),
        "the credentials are not accepted: check them",
        _CREDENTIALS,
    ),
    (("no_such_bucket", "nosuchbucket"), "there is no such bucket: make it, or correct", "state.journal_uri"),
    (
        ("access_denied", "accessdenied", "access denied", "forbidden", "permission denied", "read-only file system"),
        "it may not be written: give this user, or these credentials, the right to, or change",
        "state.journal_uri",
    ),
    (
        ("network_connection", "could not connect", "connection", "timeout", "timed out", "resolve", "dns"),
        "it is not reached: check the network, the endpoint option and",
        "state.journal_uri",
    ),
)
"""What drivers say, in small letters -> what it means, and the setting."""


def probe(uri: str, options: Mapping[str, str]) -> None:
    """Write, read and delete a file. Raises StorageUnavailable, ConfigError (no bucket, an unknown scheme)."""
    name = f".probe-{uuid.uuid4().hex}"
    data = name.encode()
    try:
        location = Location(StorageSpec(uri, {**options, **QUICK}))
        location.prepare()
        location.write(name, pa.py_buffer(data))
        found = location.read(name)
        location.delete(name)
    except StorageUnavailable as error:
        raise _explained(uri, error) from error
    if found != data:
        raise StorageUnavailable(f"{uri} does not give back what was written: {name}", uri=uri)


def _explained(uri: str, error: StorageUnavailable) -> MemosError:
    said = error.detail.lower()
    if "unknown scheme" in said:
        return ConfigError(
            f"state.journal_uri: {uri} has a scheme that no driver knows, {urlparse(uri).scheme}://",
            setting="state.journal_uri",
        )
    for signs, meaning, setting in _SIGNS:
        if any(sign in said for sign in signs):
            kind = ConfigError if "bucket" in meaning else StorageUnavailable
            return kind(f"the storage {uri}: {meaning} {setting} ({error.detail[-300:]})", uri=uri)
    return StorageUnavailable(f"the storage {uri} cannot be used: {error.detail}; check {_CREDENTIALS}", uri=uri)
