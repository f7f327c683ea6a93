"""The system behind the edge as plain objects: the real domain, without journal, indexes or Ray."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from actors.errors import (
    AlreadyExists,
    CubeNotFound,
    Forbidden,
    InvalidCursor,
    JobNotFound,
    KeyNotFound,
    MemosError,
    Unauthenticated,
)
from actors.footprint import footprint
from actors.listing import page_of
from actors.memory import commands
from actors.memory.commands import CubeDraft
from actors.memory.cube import CubeState
from actors.memory.draft import Origin, Sealer
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role, authorise
from actors.memory.item import Form, Memory, Reference
from actors.memory.ports import JsonObject
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeHits,
    CubeView,
    ExportCube,
    Hit,
    IssuedKey,
    JobStatus,
    JobView,
    KeyView,
    ListMemories,
    Moment,
    MoveMemory,
    NewCube,
    NewKey,
    Page,
    PrincipalView,
    SearchCube,
    Shortfall,
    VerifyReport,
)
from serve.chat_port import ChatPiece, ChatRequest, UsedMemory
from tests.unit.plain_archives import PlainArchives

T = TypeVar("T")
KEY = b"k" * 32


@dataclass(frozen=True, slots=True)
class PlainIdentity:
    caller: Caller
    governor: bool = False
    default_cube: str = ""
    expires_at_us: int | None = None


class PlainClock:
    def __init__(self) -> None:
        self.at_us = 1_700_000_000_000_000

    def now_us(self) -> int:
        self.at_us += 1000
        return self.at_us


@dataclass
class PlainCube:
    state: CubeState
    access: CubeAccess


@dataclass
class PlainBackend(PlainArchives):
    """Has the gateway's shape. `failures` maps a method's name to the error that it raises next."""

    clock: PlainClock = field(default_factory=PlainClock)
    keys: dict[str, tuple[KeyView, str]] = field(default_factory=dict)
    cubes: dict[str, PlainCube] = field(default_factory=dict)
    jobs: dict[str, JobView] = field(default_factory=dict)
    failures: dict[str, MemosError] = field(default_factory=dict)
    shortfalls: tuple[Shortfall, ...] = ()
    waiting: list[str] = field(default_factory=list)
    unanswered: list[JsonObject] = field(default_factory=list)
    searches: list[SearchCube] = field(default_factory=list)
    adds: list[AddMemories] = field(default_factory=list)
    exports: dict[str, list[bytes]] = field(default_factory=dict)
    requested: list[ExportCube] = field(default_factory=list)
    closed: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(7)
        self.issue(NewKey("root", governor=True), "root-key")

    # by hand

    def issue(self, new: NewKey, secret: str) -> KeyView:
        view = KeyView(
            f"key_{len(self.keys)}",
            new.principal,
            new.name,
            new.governor,
            new.default_cube,
            self.clock.now_us(),
            new.expires_at_us,
            None,
        )
        self.keys[secret] = (view, secret)
        return view

    def _cluster(self) -> ClusterAccess:
        governors = frozenset(view.principal for view, _ in self.keys.values() if view.governor)
        revoked = frozenset(view.id for view, _ in self.keys.values() if view.revoked_at_us)
        return ClusterAccess(governors, revoked)

    def _enter(self, caller: Caller, action: Action, cube_id: str) -> PlainCube:
        cube = self.cubes.get(cube_id)
        authorise(caller, action, cube_id, self._cluster(), cube.access if cube else None)
        if cube is None:
            raise CubeNotFound("unreachable")
        return cube

    def _govern(self, caller: Caller) -> None:
        if caller.principal not in self._cluster().governors:
            raise Forbidden("governors only")

    def _run(
        self, caller: Caller, cube: PlainCube, decide: Callable[[CubeDraft, Origin], T], idempotency: str = ""
    ) -> T:
        draft = CubeDraft(cube.state, Sealer(KEY, self.random.randbytes))
        result = decide(draft, Origin(caller.principal, caller.request_id, self.clock.now_us(), idempotency))
        for event in draft.events:
            cube.state.apply(event)
        return result

    def _fail(self, name: str) -> None:
        if name in self.failures:
            raise self.failures.pop(name)

    # access

    async def authenticate(self, secret: str, request_id: str) -> PlainIdentity:
        self._fail("authenticate")
        if secret not in self.keys or self.keys[secret][0].revoked_at_us:
            raise Unauthenticated("this API key is not known")
        view = self.keys[secret][0]
        caller = Caller(view.principal, view.id, request_id)
        return PlainIdentity(caller, view.governor, view.default_cube, view.expires_at_us)

    async def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        self._govern(caller)
        secret = f"secret-{len(self.keys)}"
        return IssuedKey(secret, self.issue(new, secret))

    async def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        self._govern(caller)
        return _paged([view for view, _ in self.keys.values()], limit, cursor)

    async def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        self._govern(caller)
        for view, secret in list(self.keys.values()):
            if view.id == key_id:
                revoked = replace(view, revoked_at_us=self.clock.now_us())
                self.keys[secret] = (revoked, secret)
                return revoked
        raise KeyNotFound(f"no key {key_id!r}")

    async def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        self._govern(caller)
        views = [PrincipalView(v.principal, v.governor, v.created_at_us) for v, _ in self.keys.values()]
        return _paged(views, limit, cursor)

    # cubes

    async def create_cube(self, caller: Caller, new: NewCube) -> CubeView:
        self._fail("create_cube")
        if new.id in self.cubes:
            raise AlreadyExists(f"there is a cube {new.id!r} already")
        cube = PlainCube(CubeState(new.id), CubeAccess(new.id, caller.principal))
        self._run(caller, cube, lambda d, o: commands.create(d, o, caller.principal, new.name, new.policy))
        self.cubes[new.id] = cube
        return _view(cube)

    async def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeView]:
        mine = [c for c in self.cubes.values() if c.access.role_of(caller.principal) and not c.access.archived]
        return _paged([_view(cube) for cube in mine], limit, cursor)

    async def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        self._fail("read_cube")
        return _view(self._enter(caller, Action.READ, cube_id))

    async def change_cube(
        self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None
    ) -> CubeView:
        cube = self._enter(caller, Action.CONFIGURE, cube_id)
        self._run(caller, cube, lambda d, o: commands.configure(d, o, name, policy))
        return _view(cube)

    async def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeView:
        cube = self._enter(caller, Action.GRANT, cube_id)
        cube.access = replace(cube.access, archived=True)
        return _view(cube)

    async def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeView:
        cube = self._enter(caller, Action.GRANT, cube_id)
        cube.access = replace(cube.access, grants={**cube.access.grants, principal: role})
        return _view(cube)

    async def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeView:
        cube = self._enter(caller, Action.GRANT, cube_id)
        cube.access = replace(cube.access, grants={p: r for p, r in cube.access.grants.items() if p != principal})
        return _view(cube)

    async def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        cube = self._enter(caller, Action.VERIFY, cube_id)
        return VerifyReport(cube_id, cube.state.version, ())

    # memories

    async def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        self._fail("add")
        cube = self._enter(caller, Action.ADD, cube_id)
        self.adds.append(request)
        idempotency = commands.idempotency_of(KEY, cube_id, caller.principal, request)
        return self._run(caller, cube, lambda d, o: commands.add(d, o, request, self.random.randbytes), idempotency)

    async def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        cube = self._enter(caller, Action.READ, cube_id)
        return page_of(cube.state, request, _version(cube.state, request.as_of))

    async def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        cube = self._enter(caller, Action.READ, cube_id)
        return cube.state.at(memory_id, _version(cube.state, as_of))

    async def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        cube = self._enter(caller, Action.CHANGE, cube_id)
        return self._run(caller, cube, lambda d, o: commands.change(d, o, request))

    async def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        cube = self._enter(caller, Action.READ, cube_id)

        def allow(action: Action) -> None:
            authorise(caller, action, cube_id, self._cluster(), cube.access)

        return self._run(caller, cube, lambda d, o: commands.move(d, o, request, allow))

    async def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        cube = self._enter(caller, Action.READ, cube_id)
        cube.state.current(memory_id)
        return tuple(memory for _, memory in cube.state.history[memory_id])

    async def search(self, caller: Caller, cube_ids: Sequence[str], request: SearchCube) -> CubeHits:
        """Scores a memory by the share of the query's words that it holds."""
        self._fail("search")
        self.searches.append(request)
        asked = set(request.query.lower().split())
        hits = []
        for cube_id in cube_ids:
            cube = self._enter(caller, Action.SEARCH, cube_id)
            for memory in cube.state.memories(_version(cube.state, request.as_of)):
                score = len(asked & set(memory.text.lower().split())) / len(asked)
                if score > 0 and memory.retrievable:
                    hits.append(Hit(memory, score, {"lexical": score}, "shares words with the query"))
        hits.sort(key=lambda hit: -hit.score)
        return CubeHits(tuple(hits[: request.top_k]), self.shortfalls)

    # jobs and the system

    async def submit_job(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> JobView:
        now = self.clock.now_us()
        view = JobView(f"job_{len(self.jobs)}", name, cube_id, caller.principal, JobStatus.QUEUED, args, now)
        self.jobs[view.id] = view
        return view

    async def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        return _paged(list(self.jobs.values()), limit, cursor)

    async def read_job(self, caller: Caller, job_id: str) -> JobView:
        if job_id not in self.jobs:
            raise JobNotFound(f"no job {job_id[:64]!r}")
        return self.jobs[job_id]

    async def job_logs(self, caller: Caller, job_id: str) -> str:
        await self.read_job(caller, job_id)
        return "line one\nline two\n"

    async def stop_job(self, caller: Caller, job_id: str) -> JobView:
        stopped = replace(await self.read_job(caller, job_id), status=JobStatus.STOPPED)
        self.jobs[job_id] = stopped
        return stopped

    async def status(self) -> JsonObject:
        return {"shards": 4, "nodes": [], "hosts": [], "system": None, "embedder": None, "unanswered": self.unanswered}

    async def ready(self) -> list[str]:
        return self.waiting


class PlainEmbedder:
    """Embeds every text as the same unit vector; fails with `failure` when there is one."""

    model_id = "plain-embedder"
    waiting = 0

    def __init__(self) -> None:
        self.failure: MemosError | None = None

    async def embed_query(self, text: str) -> npt.NDArray[np.float32]:
        if self.failure is not None:
            raise self.failure
        return np.array([1.0, 0.0], dtype=np.float32)


class PlainChat:
    """Answers with a script of pieces. `failure` is raised before the piece of index `fail_at`."""

    model_id = "plain-model"

    def __init__(self, texts: Sequence[str] = ("On ", "7 ", "May.")) -> None:
        self.texts = list(texts)
        self.requests: list[ChatRequest] = []
        self.failure: MemosError | None = None
        self.fail_at = 0
        self.closed = 0
        self.waiting: list[str] = []
        self.pause: Callable[[], Any] | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        self.requests.append(request)
        used = tuple(UsedMemory(Reference(m.cube_id, m.id, m.version), Form.PLAINTEXT) for m in request.memories)
        try:
            for i, text in enumerate(self.texts):
                if self.failure is not None and self.fail_at == i:
                    raise self.failure
                if self.pause is not None:
                    await self.pause()
                last = i == len(self.texts) - 1
                yield ChatPiece(text, 40, i + 1, 8, "stop" if last else None, used if i == 0 else ())
        finally:
            self.closed += 1

    async def ready(self) -> list[str]:
        return self.waiting

    async def status(self) -> JsonObject:
        if self.failure is not None:
            raise self.failure
        return {**footprint(), "model": self.model_id, "chats": 1, "room": 17}


def _view(cube: PlainCube) -> CubeView:
    state, access = cube.state, cube.access
    grants = {access.owner: "owner", **{who: role.label for who, role in access.grants.items()}}
    counts, policy = state.counts(), state.policy
    return CubeView(
        access.cube_id, state.name, access.owner, state.version, state.created_at_us, counts, policy, grants
    )


def _version(state: CubeState, as_of: Moment | None) -> int | None:
    if as_of is None:
        return None
    if as_of.version is not None:
        return state.check_version(as_of.version)
    return state.version_at(as_of.time_us or 0)


def _paged(items: Sequence[T], limit: int, cursor: str | None) -> Page[T]:
    try:
        start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    except ValueError:
        raise InvalidCursor("the cursor is not one that this list gave out") from None
    more = base64.urlsafe_b64encode(str(start + limit).encode()).decode() if start + limit < len(items) else None
    return Page(tuple(items[start : start + limit]), more)
