"""What a CubeHost does to erase: who may, what goes together over cubes, and the erasing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from actors.access import AccessTable
from actors.discretion import Discretion
from actors.errors import Forbidden
from actors.memory import erasing
from actors.memory.auditing import AuditAction, Note
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.erasure import EraseMemories, Name, Receipt
from actors.memory.governance import Action, Caller
from actors.owned_shards import Entered
from actors.redaction_gate import Rule
from actors.shard import Shard

DERIVED_FROM = b'"derived_from"'
"""How the content of an event begins to say what its memory is derived from."""


class HostErasure:
    """`entered` authorises, gives the cube's shard and records; `given` does without authorising. `shards()` are all of
    the host; `origin(caller)` is what the events of a caller carry. A reason passes the redaction of the cube that
    records it.
    """

    def __init__(
        self,
        access: AccessTable,
        entered: Entered,
        given: Entered,
        shard_of: Callable[[str], Shard],
        shards: Callable[[], Iterable[Shard]],
        origin: Callable[[Caller], Origin],
        discretion: Discretion,
    ) -> None:
        self._discretion = discretion
        self._access = access
        self._entered = entered
        self._given = given
        self._shard_of = shard_of
        self._shards = shards
        self._origin = origin

    def plan(self, caller: Caller, cube_id: str, request: EraseMemories) -> list[Name]:
        """What `erase` would take of the cube, empty when it is erased already. Raises what `erase` raises."""
        note, allow = _note("plan of an erasure", request.memory_ids), self._allowing(caller, cube_id)
        with self._entered(caller, Action.READ, cube_id, note) as shard:
            found = shard.run(cube_id, lambda draft: erasing.plan(draft, request, allow))
            return [(cube_id, memory_id) for memory_id in found]

    def erase(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        """Erase, for good: the receipt, when nothing is left anywhere in the shard."""
        note, allow = _note("memories", request.memory_ids), self._allowing(caller, cube_id)
        with self._entered(caller, Action.READ, cube_id, note) as shard:
            origin = self._origin(caller)
            rule, passed = self._passed(shard, cube_id, request, lambda: allow(Action.ERASE))
            decide = rule.guarding(lambda draft: erasing.erase(draft, origin, passed, allow))
            receipt = shard.erase(cube_id, decide, origin)
            note.ids = tuple(memory_id for cube, memory_id in _names(receipt) if cube == cube_id)
            return receipt

    def plan_cube(self, caller: Caller, cube_id: str, reason: str) -> list[Name]:
        """The memories that would go with a whole cube. Raises what `erase_cube` raises."""
        note, allow = _note("plan of an erasure"), self._allowing(caller, cube_id)
        with self._entered(caller, Action.ERASE_CUBE, cube_id, note) as shard:
            found = shard.run(cube_id, lambda draft: erasing.plan_cube(draft, reason, allow))
            return [(cube_id, memory_id) for memory_id in found]

    def erase_cube(self, caller: Caller, cube_id: str, reason: str, elsewhere: Sequence[Name]) -> Receipt:
        """Erase everything of a cube, for good. It takes its owner; a governor and a reason where one is frozen."""
        note, allow = _note("cube"), self._allowing(caller, cube_id)
        with self._entered(caller, Action.ERASE_CUBE, cube_id, note) as shard:
            origin = self._origin(caller)
            rule, passed = self._passed(shard, cube_id, EraseMemories((), reason), lambda: allow(Action.ERASE_CUBE))
            decide = rule.guarding(lambda draft: erasing.erase_cube(draft, origin, passed.reason, elsewhere, allow))
            return shard.erase(cube_id, decide, origin)

    def plan_derived(self, caller: Caller, cube_id: str, request: EraseMemories) -> list[Name]:
        """As `plan`, of what `erase_derived` would take."""
        allow = self._allowing_derived(caller, request)

        def decide(draft: CubeDraft) -> list[str]:
            _check_derived(draft, request)
            return list(erasing.plan(draft, request, allow))

        with self._given(caller, Action.ERASE, cube_id, _note("plan of an erasure", request.memory_ids)) as shard:
            return [(cube_id, memory_id) for memory_id in shard.run(cube_id, decide)]

    def erase_derived(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        """Erase what was derived from `request.origins`, the first of which the caller may erase; whatever role it has
        on this cube, which no error names. Raises Forbidden when one is frozen and the caller does not govern.

        What follows the first origin through other cubes is for the gateway to say: here it is checked that each
        memory is derived from one of those named.
        """
        allow, origin = self._allowing_derived(caller, request), self._origin(caller)

        with self._given(caller, Action.ERASE, cube_id, _note("derived memories", request.memory_ids)) as shard:
            rule, passed = self._passed(shard, cube_id, request, lambda: None)

            def decide(draft: CubeDraft) -> str:
                _check_derived(draft, passed)
                return erasing.erase(draft, origin, passed, allow)

            return shard.erase(cube_id, rule.guarding(decide), origin)

    def _passed(
        self, shard: Shard, cube_id: str, request: EraseMemories, allow: Callable[[], None]
    ) -> tuple[Rule, EraseMemories]:
        """The request with its reason as the cube may record it, and the rule that it passed under. Whoever may not
        erase learns nothing of it.
        """
        allow()
        rule = self._discretion.rule(shard, cube_id)
        return rule, replace(request, reason=self._discretion.gate.reason(rule, request.reason))

    def derived(self, origins: Sequence[Name]) -> list[Name]:
        """The memories of this host's shards that say to be derived from one of `origins`, in any version."""
        wanted = frozenset(origins)
        found = {
            (event.cube_id, event.memory_id)
            for shard in self._shards()
            for event in shard.mentioning(DERIVED_FROM)
            if erasing.names_derived(event, wanted)
        }
        return sorted(found)

    def inherited(self, cube_id: str, memory_ids: Sequence[str]) -> list[Name]:
        """Of memories of the cube that a fork was made from, those that the fork has."""
        self._access.cube(cube_id)  # it lives elsewhere than its hash says
        with self._shard_of(cube_id).reading(cube_id) as cube:
            return [(cube_id, memory_id) for memory_id in memory_ids if memory_id in cube.state.history]

    def _allowing(self, caller: Caller, cube_id: str) -> Callable[[Action], None]:
        def allow(action: Action) -> None:
            self._access.authorise(caller, action, cube_id)

        return allow

    def _allowing_derived(self, caller: Caller, request: EraseMemories) -> Callable[[Action], None]:
        root_cube, _ = request.origins[0]
        self._access.authorise(caller, Action.ERASE, root_cube)

        def allow(action: Action) -> None:
            if action is Action.ERASE_FROZEN and not self._access.is_governor(caller):
                raise Forbidden("what was derived from it is frozen: only a governor can erase it", action=action.value)

        return allow


def _note(what: str, memory_ids: Sequence[str] = ()) -> Note:
    shown = tuple(memory_id[:64] for memory_id in memory_ids)
    return Note(AuditAction.ERASE, shown[0] if len(shown) == 1 else "", {"what": what}, shown)


def _names(receipt: Receipt) -> list[Name]:
    return [*((receipt.cube_id, memory_id) for memory_id in receipt.erased), *receipt.derived]


def _check_derived(draft: CubeDraft, request: EraseMemories) -> None:
    memories, origins = draft.revisions(), frozenset(request.origins)
    for memory_id in request.memory_ids:
        parents = {(r.cube_id, r.memory_id) for _, memory in memories.get(memory_id, ()) for r in memory.derived_from}
        if draft.forked_from is not None:
            parents.add((draft.forked_from, memory_id))
        if parents.isdisjoint(origins) and draft.erasure_of(memory_id) is None:
            raise Forbidden("a memory is not derived from what is to be erased")
