"""Keeps a Serve replica's own gRPC server on the address of its node: 127.0.0.1 in the local profile.

Ray Serve 2.60 binds it to `[::]:0`, every address of the machine, and has no setting for it. Other replicas and
proxies reach it at the node's address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ray.serve._private import replica
from ray.util import get_node_ip_address

log = logging.getLogger(__name__)

_BINDER = "add_port_to_grpc_server"


def keep_replica_on_its_node() -> None:
    """To be called in a deployment's constructor: Serve starts the replica's gRPC server after it.

    A Ray that does it otherwise is left as it is, with a warning; a test of the listening sockets fails then.
    """
    bind: Callable[[Any, str], int] | None = getattr(replica, _BINDER, None)
    if bind is None:
        log.warning("this version of Ray starts a replica's gRPC server in another way; see docs/loopback.md")
        return

    own = get_node_ip_address()

    def bind_on_node(server: Any, address: str) -> int:
        return bind(server, address.replace("[::]", f"[{own}]" if ":" in own else own))

    setattr(replica, _BINDER, bind_on_node)
