"""The one error tree. Every error is picklable, so that it survives a trip between actors.

MemosError
├── InvalidRequest            the caller can fix it by changing the request
│   ├── InvalidCursor
│   ├── PolicyUnavailable     a policy asks for something that this build does not do
│   ├── UnknownEntityKind     a policy names a kind that no recognizer finds; lists the known ones
│   ├── ScreeningTooSlow      a pattern of the profile takes too long on a text: it is not taken unread
│   ├── RedactionBlocked      personal data was found, and the cube's policy takes none
│   ├── MalformedBody         not JSON, not UTF-8, or nested too deep
│   ├── RequestTooLarge       over a stated limit
│   ├── DocumentRefused       a document that cannot be read; says why, and the way out
│   ├── BodyTooSlow           the body did not arrive in time
│   ├── ArchiveRefused        an archive that is not one, or is damaged, or made to do harm; says what
│   ├── NewerArchive          an archive that a newer version wrote; says which this one reads
│   └── ContextOverflow       the question alone does not fit the model's context
├── AccessError
│   ├── Unauthenticated       no key, or one that is unknown, expired or revoked
│   └── Forbidden             a role is there, but it is too small for the action
├── NotFound                  also the answer to a principal without a role
│   ├── CubeNotFound
│   ├── MemoryNotFound
│   │   └── MemoryErased      it was there, and was erased
│   ├── VersionNotFound       `as_of` names a version or time that does not exist (yet)
│   ├── KeyNotFound
│   ├── PrincipalNotFound
│   ├── ModelNotFound
│   └── JobNotFound
├── Conflict
│   ├── AlreadyExists
│   ├── StaleVersion          `If-Match` names another version than the current one
│   ├── TransitionRefused     lists what is allowed
│   ├── FrozenMemory
│   ├── NothingMerged         there is no merge to undo
│   ├── ScreeningRefused      the cube's policy does not mask
│   └── IdempotencyMismatch   a known key with another request
├── NotAvailable              a documented request that this build does not serve
├── Overloaded                a bounded queue is full; carries `retry_after_s`
├── Unavailable               a part is down; carries `retry_after_s`
│   ├── Misplaced             the cube lives in another shard; names it, for the gateway to ask there
│   └── Degraded              some of the parts that were asked did not answer
├── StorageError
│   ├── Fenced                another owner has taken the shard over
│   ├── Corrupted             a file is not what was written; names it
│   ├── NewerFormat           the state was written by a newer version
│   ├── StateInUse            another instance holds the state folder
│   └── StorageUnavailable    cannot be read or written now; names the URI
└── ConfigError               a setting is wrong; names it and the way out
"""

from __future__ import annotations

from typing import Any


class MemosError(Exception):
    """Root of the tree.

    `slug` is the stable last part of the problem `type`; `status` the HTTP status; `facts` extra
    members of the problem document (JSON values only).
    """

    slug = "internal"
    status = 500
    title = "Something went wrong inside the system"

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.detail, self.facts))

    def __str__(self) -> str:
        return self.detail


def _rebuild(kind: type[MemosError], detail: str, facts: dict[str, Any]) -> MemosError:
    return kind(detail, **facts)


class InvalidRequest(MemosError):
    slug, status, title = "invalid-request", 422, "The request is not valid"


class InvalidCursor(InvalidRequest):
    slug, title = "invalid-cursor", "The cursor is not one that this list gave out"


class PolicyUnavailable(InvalidRequest):
    slug, title = "policy-unavailable", "The policy asks for something that is not available"


class UnknownEntityKind(InvalidRequest):
    slug, title = "unknown-entity-kind", "The policy names a kind of entity that is not known"


class RedactionBlocked(InvalidRequest):
    slug, title = "redaction-blocked", "The cube takes no personal data"


class ScreeningTooSlow(InvalidRequest):
    slug, title = "screening-too-slow", "A text takes too long to be looked through for personal data"


class MalformedBody(InvalidRequest):
    slug, status, title = "malformed-body", 400, "The body cannot be read"


class BodyTooSlow(InvalidRequest):
    slug, status, title = "body-too-slow", 408, "The body did not arrive in time"


class RequestTooLarge(InvalidRequest):
    slug, status, title = "too-large", 413, "The request is over a limit"


class DocumentRefused(InvalidRequest):
    slug, title = "document-refused", "The document cannot be read"


class ArchiveRefused(InvalidRequest):
    slug, title = "archive-refused", "The archive cannot be imported"


class NewerArchive(InvalidRequest):
    slug, title = "archive-newer", "The archive was written by a newer version"


class ContextOverflow(InvalidRequest):
    slug, status, title = "context-overflow", 400, "The prompt does not fit the model's context"


class AccessError(MemosError):
    slug, status, title = "access", 403, "Access denied"


class Unauthenticated(AccessError):
    slug, status, title = "unauthenticated", 401, "A valid API key is needed"


class Forbidden(AccessError):
    slug, title = "forbidden", "The role does not allow this"


class NotFound(MemosError):
    slug, status, title = "not-found", 404, "Not found"


class CubeNotFound(NotFound):
    slug, title = "cube-not-found", "No such cube"


class MemoryNotFound(NotFound):
    slug, title = "memory-not-found", "No such memory"


class MemoryErased(MemoryNotFound):
    slug, title = "memory-erased", "This memory was erased"


class VersionNotFound(NotFound):
    slug, title = "version-not-found", "No such version"


class KeyNotFound(NotFound):
    slug, title = "key-not-found", "No such key"


class PrincipalNotFound(NotFound):
    slug, title = "principal-not-found", "No such principal"


class ModelNotFound(NotFound):
    slug, title = "model-not-found", "No such model"


class JobNotFound(NotFound):
    slug, title = "job-not-found", "No such job"


class Conflict(MemosError):
    slug, status, title = "conflict", 409, "The request conflicts with the current state"


class AlreadyExists(Conflict):
    slug, title = "already-exists", "It exists already"


class StaleVersion(Conflict):
    slug, status, title = "stale-version", 412, "The version named by If-Match is not the current one"


class TransitionRefused(Conflict):
    slug, title = "transition-refused", "This transition is not allowed"


class FrozenMemory(Conflict):
    slug, title = "frozen", "A frozen memory cannot be changed"


class NothingMerged(Conflict):
    slug, title = "nothing-merged", "There is no merge to undo"


class ScreeningRefused(Conflict):
    slug, title = "screening-refused", "The cube's policy does not mask"


class IdempotencyMismatch(Conflict):
    slug, title = "idempotency-mismatch", "The idempotency key was used for another request"


class NotAvailable(MemosError):
    slug, status, title = "not-available", 501, "This is not available"


class Overloaded(MemosError):
    """A bounded queue is full. `retry_after_s` says when to come back."""

    slug, status, title = "overloaded", 429, "Too many requests are waiting"


class Unavailable(MemosError):
    slug, status, title = "unavailable", 503, "A part of the system is not available right now"


class Misplaced(Unavailable):
    """The cube lives in the shard that the fact `shard` names, which the host that was asked does not own."""

    slug, title = "misplaced", "The cube lives elsewhere"


class Degraded(Unavailable):
    slug, title = "degraded", "Some parts did not answer"


class StorageError(MemosError):
    slug, status, title = "storage", 503, "Storage failed"


class Fenced(StorageError):
    slug, title = "fenced", "Another owner has taken this shard over"


class Corrupted(StorageError):
    slug, status, title = "corrupted", 500, "A stored file is not what was written"


class NewerFormat(StorageError):
    slug, status, title = "newer-format", 500, "The state was written by a newer version"


class StateInUse(StorageError):
    slug, status, title = "state-in-use", 500, "Another instance uses this state"


class StorageUnavailable(StorageError):
    slug, title = "storage-unavailable", "Storage cannot be reached"


class ConfigError(MemosError):
    slug, title = "config", "A setting is wrong"
