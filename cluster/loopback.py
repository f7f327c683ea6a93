"""Keeps a Serve replica's own gRPC server on loopback.

Ray Serve 2.60 binds it to `[::]:0` and has no setting for the address. Only other replicas and proxies of the
same machine talk to it, at the node's address, which is 127.0.0.1 here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ray.serve._private import replica

log = logging.getLogger(__name__)

_BINDER = "add_port_to_grpc_server"


def keep_replica_on_loopback() -> None:
    """To be called in a deployment's constructor: Serve starts the replica's gRPC server after it.

    A Ray that does it otherwise is left as it is, with a warning; a test of the listening sockets fails then.
    """
    bind: Callable[[Any, str], int] | None = getattr(replica, _BINDER, None)
    if bind is None:
        log.warning("this version of Ray starts a replica's gRPC server in another way; see docs/loopback.md")
        return

    def bind_on_loopback(server: Any, address: str) -> int:
        return bind(server, address.replace("[::]", "127.0.0.1"))

    setattr(replica, _BINDER, bind_on_loopback)
