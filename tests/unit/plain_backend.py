"""The system behind the edge as plain objects: the real domain, without journal, indexes or Ray."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from actors import screening_run
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
from actors.lineage import provenance_page
from actors.listing import page_of
from actors.manifest import view_of
from actors.memory import commands
from actors.memory.auditing import AuditQuery, AuditRow
from actors.memory.consolidation import ConsolidateCube, Consolidated
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.disclosure import Disclosure
from actors.memory.draft import Origin, Sealer
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role, authorise, role_on
from actors.memory.item import Memory
from actors.memory.merging import Split, SplitMemory, split
from actors.memory.policy import merged_policy
from actors.memory.ports import JsonObject
from actors.memory.provenance import Provenance, ReadProvenance
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeView,
    ExportCube,
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
    Screened,
    VerifyReport,
)
from actors.memory.screening import total
from actors.memory.search_requests import CubeHits, Hit, SearchCube, Shortfall
from actors.memory.sources import shown
from actors.redaction_gate import RedactionGate, Rule
from tests.unit.plain_archives import PlainArchives
from tests.unit.plain_erasing import PlainErasing
from tests.unit.plain_recognizer import PlainRecognizer
from tests.unit.plain_time import PlainTimeMachine

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
    heads: list[bytes] = field(default_factory=list)


@dataclass
class PlainBackend(PlainTimeMachine, PlainErasing, PlainArchives):
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
    audits: list[AuditRow] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Secrets that were refused."""
    recognizer: PlainRecognizer = field(default_factory=PlainRecognizer)
    exports: dict[str, list[bytes]] = field(default_factory=dict)
    requested: list[ExportCube] = field(default_factory=list)
    closed: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(7)
        self.gate = RedactionGate(self.recognizer)
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
            cube.heads.append(event.hash)
        return result

    def _rule(self, cube: PlainCube) -> Rule:
        return Rule.of(cube.state.policy)

    def _seen(self, caller: Caller, cube: PlainCube) -> Disclosure:
        role = role_on(caller, self._cluster(), cube.access)
        assert role is not None
        return Disclosure.of(role, cube.state.policy)

    def _fail(self, name: str) -> None:
        if name in self.failures:
            raise self.failures.pop(name)

    # access

    async def authenticate(self, secret: str, request_id: str) -> PlainIdentity:
        self._fail("authenticate")
        if secret not in self.keys or self.keys[secret][0].revoked_at_us:
            self.strangers.append(secret)
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
        policy = merged_policy({}, new.policy, self.recognizer.kinds)
        self._run(caller, cube, lambda d, o: commands.create(d, o, caller.principal, new.name, policy))
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
        self._run(caller, cube, lambda d, o: commands.configure(d, o, name, policy, self.recognizer.kinds))
        return _view(cube)

    async def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeView:
        cube = self._enter(caller, Action.GRANT, cube_id)
        cube.access = replace(cube.access, archived=True, kept=True)
        return _view(cube)

    async def revive_cube(self, caller: Caller, cube_id: str) -> CubeView:
        cube = self._enter(caller, Action.REVIVE_CUBE, cube_id)
        cube.access = replace(cube.access, archived=False, kept=False)
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

    async def audit(self, caller: Caller, cube_id: str, query: AuditQuery, cursor: str | None) -> Page[AuditRow]:
        if cube_id:
            self._enter(caller, Action.AUDIT, cube_id)
        else:
            self._govern(caller)
        rows = [row for row in reversed(self.audits) if row.cube_id == cube_id and query.matches(row)]
        return _paged(rows, query.limit, cursor)

    # memories

    async def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        self._fail("add")
        cube = self._enter(caller, Action.ADD, cube_id)
        self.adds.append(request)
        idempotency = commands.idempotency_of(KEY, cube_id, caller.principal, request)
        passed = self.gate.adding(self._rule(cube), request)
        return self._run(caller, cube, lambda d, o: commands.add(d, o, passed, self.random.randbytes), idempotency)

    async def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        cube = self._enter(caller, Action.READ, cube_id)
        return page_of(cube.state, request, _version(cube.state, request.as_of), self._seen(caller, cube))

    async def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        cube = self._enter(caller, Action.READ, cube_id)
        version = _version(cube.state, as_of)
        return self._seen(caller, cube).shown(shown(cube.state, cube.state.at(memory_id, version), version))

    async def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        cube = self._enter(caller, Action.CHANGE, cube_id)
        passed = self.gate.changing(self._rule(cube), request)
        return self._seen(caller, cube).shown(self._run(caller, cube, lambda d, o: commands.change(d, o, passed)))

    async def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        cube = self._enter(caller, Action.READ, cube_id)

        def allow(action: Action) -> None:
            authorise(caller, action, cube_id, self._cluster(), cube.access)

        return self._run(caller, cube, lambda d, o: commands.move(d, o, request, allow))

    async def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        cube = self._enter(caller, Action.READ, cube_id)
        return self._seen(caller, cube).all(cube.state.revisions(memory_id))

    async def split(self, caller: Caller, cube_id: str, request: SplitMemory) -> Split:
        cube = self._enter(caller, Action.TRANSITION, cube_id)
        return self._run(caller, cube, lambda d, o: split(d, o, request))

    async def consolidate(self, caller: Caller, cube_id: str, request: ConsolidateCube) -> Consolidated:
        """Without vectors there is nothing to find."""
        self._enter(caller, Action.TRANSITION, cube_id)
        return Consolidated(request.rows, 0, 0)

    async def provenance(self, caller: Caller, cube_id: str, request: ReadProvenance) -> Provenance:
        cube = self._enter(caller, Action.READ, cube_id)
        return provenance_page(cube.state, request, self._seen(caller, cube))

    async def screen(self, caller: Caller, cube_id: str, limit: int) -> Screened:
        cube = self._enter(caller, Action.CONFIGURE, cube_id)
        rule = screening_run.masking_rule(cube.state)
        batch = screening_run.left_of(cube.state, rule)[:limit]
        found = self.gate.screening(rule, [screening_run.fields_of(memory) for memory in batch])
        recorded = self._run(caller, cube, lambda d, o: screening_run.record(d, o, batch, found))
        return Screened(len(recorded), len(screening_run.left_of(cube.state, rule)), total(recorded))

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
                    hits.append(
                        Hit(
                            self._seen(caller, cube).shown(shown(cube.state, memory, None)),
                            score,
                            {"lexical": score},
                            "shares words with the query",
                        )
                    )
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
        parts = dict.fromkeys(("system", "embedder", "redactor"))
        return {"shards": 4, "nodes": [], "hosts": [], **parts, "unanswered": self.unanswered}

    async def ready(self) -> list[str]:
        return self.waiting


def _view(cube: PlainCube) -> CubeView:
    return view_of(cube.state, cube.access, cube.state.fork)


def _version(state: CubeState, as_of: Moment | None) -> int | None:
    return None if as_of is None else state.version_of(as_of)


def _paged(items: Sequence[T], limit: int, cursor: str | None) -> Page[T]:
    try:
        start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    except ValueError:
        raise InvalidCursor("the cursor is not one that this list gave out") from None
    more = base64.urlsafe_b64encode(str(start + limit).encode()).decode() if start + limit < len(items) else None
    return Page(tuple(items[start : start + limit]), more)
