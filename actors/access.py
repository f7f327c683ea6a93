"""What a host knows of who may do what: fetched from the system shard, kept up to date by its pushes."""

from __future__ import annotations

import threading
from collections import OrderedDict

from actors.errors import CubeNotFound
from actors.memory.governance import (
    AccessSource,
    Action,
    Caller,
    ClusterAccess,
    CubeAccess,
    Role,
    authorise,
    check_key,
    role_on,
)


class AccessTable:
    """A host's view of grants and keys. Safe to use from many threads.

    Bounded: the least recently used entry of a cube is dropped, and fetched again when it is asked for.
    """

    def __init__(self, source: AccessSource, limit: int = 100_000) -> None:
        self._source = source
        self._limit = limit
        self._guard = threading.Lock()
        self._cubes: OrderedDict[str, CubeAccess] = OrderedDict()
        self._cluster: ClusterAccess | None = None

    def authorise(self, caller: Caller, action: Action, cube_id: str) -> Role:
        """The caller's role when it allows the action. Raises as `governance.authorise` does.

        A refusal is decided on a fresh answer of the system shard, so that a hidden cube takes as long
        as one that does not exist.
        """
        check_key(caller, self.cluster())
        known = self._known(cube_id)
        if known is not None:
            try:
                return authorise(caller, action, cube_id, self.cluster(), known)
            except CubeNotFound:
                pass
        fetched = self._keep(self._source.asked_access(caller, action, cube_id))
        return authorise(caller, action, cube_id, self.cluster(), fetched)

    def knows(self, cube_id: str) -> bool:
        """Whether the cube was ever registered, as far as was seen here. Asks nobody."""
        return self._known(cube_id) is not None

    def known(self, cube_id: str) -> CubeAccess | None:
        """What is known of a cube, None when nothing is. Asks nobody."""
        return self._known(cube_id)

    def role(self, caller: Caller, cube_id: str) -> Role:
        """The role of a caller who was authorised just now. Raises CubeNotFound when it was taken away since."""
        role = role_on(caller, self.cluster(), self.cube(cube_id))
        if role is None:
            raise CubeNotFound(f"no cube {cube_id!r}", cube=cube_id)
        return role

    def is_governor(self, caller: Caller) -> bool:
        return caller.principal in self.cluster().governors

    def cube(self, cube_id: str) -> CubeAccess | None:
        return self._known(cube_id) or self._keep(self._source.cube_access(cube_id))

    def cluster(self) -> ClusterAccess:
        with self._guard:
            if self._cluster is not None:
                return self._cluster
        fetched = self._source.cluster_access()
        self.set_cluster(fetched)
        return fetched

    def set_cube(self, access: CubeAccess) -> None:
        """Take in a cube's access unless a newer revision is known."""
        with self._guard:
            known = self._cubes.get(access.cube_id)
            if known is None or access.revision >= known.revision:
                self._cubes[access.cube_id] = access
            self._cubes.move_to_end(access.cube_id)
            if len(self._cubes) > self._limit:
                self._cubes.popitem(last=False)

    def set_cluster(self, access: ClusterAccess) -> None:
        with self._guard:
            if self._cluster is None or access.revision >= self._cluster.revision:
                self._cluster = access

    def _known(self, cube_id: str) -> CubeAccess | None:
        with self._guard:
            return self._cubes.get(cube_id)

    def _keep(self, fetched: CubeAccess | None) -> CubeAccess | None:
        if fetched is None:
            return None
        self.set_cube(fetched)
        return self._known(fetched.cube_id) or fetched  # a push may have brought a newer one meanwhile
