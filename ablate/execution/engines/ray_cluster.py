"""A Ray cluster as the engine sees it: reachable or lost, and what its nodes have."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.engines.ray_link import BridgeLost, Link, Refused
from ablate.execution.engines.ray_room import Demand, Node, fits

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 90.0
"""For the first connection, and for one that a submission cannot do without."""
AGAIN_SECONDS = 5.0
"""Between two tries to find a cluster that was lost."""
FRESH_SECONDS = 0.25
"""How long a look at the nodes is good for."""


class Cluster:
    """Keeps a connection, and starts a new one when it breaks."""

    def __init__(
        self,
        address: str,
        *,
        log: Path | None,
        patience_seconds: float,
        rejoin: Callable[[Link], None],
    ) -> None:
        """Connect; raises SurroundingsError where there is no Ray, or no cluster.

        ``rejoin`` is called with every later connection, which knows nothing of the attempts.
        """
        self._address, self._log, self._patience = address, log, patience_seconds
        self._rejoin = rejoin
        self._nodes: list[Node] = []
        self._seen: dict[str, Node] = {}
        self._looked = 0.0
        self._missing: dict[str, float] = {}
        self._lost_since: float | None = time.monotonic()
        self._tried = 0.0
        self.trouble = ""
        self._link: Link | None = None
        self._is_first = True
        if not self.connect(CONNECT_SECONDS):
            raise self.unreachable()
        self._is_first = False
        self.look(0.0)

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection at the moment."""
        return self._lost_since is not None

    @property
    def looked(self) -> float:
        """Monotonic seconds of the last look at the nodes."""
        return self._looked

    @property
    def nodes(self) -> list[Node]:
        """What is alive, as of the last look."""
        return self._nodes

    @property
    def seen(self) -> list[Node]:
        """Every node that was alive at some look."""
        return list(self._seen.values())

    def connect(self, timeout_seconds: float) -> bool:
        """Tell whether there is a connection; start one where it is time to, and wait for it."""
        if not self.is_lost:
            return True
        now = time.monotonic()
        if self._link is None:
            if self._tried and now - self._tried < AGAIN_SECONDS:
                return False
            self._tried, self._link = now, Link(self._address, log=self._log)
        try:
            if not self._link.ready(timeout_seconds):
                if timeout_seconds or now - self._tried > CONNECT_SECONDS:
                    self.lose(f"no answer within {CONNECT_SECONDS:.0f} s")
                return False
            self._lost_since = None
            if not self._is_first:
                logger.info("engine ray: connected again")
                self._rejoin(self._link)
        except (BridgeLost, Refused) as error:
            self.lose(str(error))
            return False
        return True

    def ask(self, op: str, *, wait_seconds: float = 0.0, **fields: Any) -> Any:
        """Return the answer of the bridge; raises Refused.

        Raises BridgeLost where there is no connection, or it broke.
        """
        if self._link is None or self.is_lost:
            raise BridgeLost(self.trouble)
        try:
            return self._link.ask(op, wait_seconds=wait_seconds, **fields)
        except BridgeLost as error:
            self.lose(str(error))
            raise

    def insist(self, op: str, **fields: Any) -> Any:
        """Return the answer, connecting again where needed; raises Refused, SurroundingsError."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while time.monotonic() < deadline:
            if not self.connect(deadline - time.monotonic()):
                time.sleep(0.1)
                continue
            try:
                return self.ask(op, **fields)
            except BridgeLost:
                continue
        raise self.unreachable()

    def look(self, age_seconds: float = FRESH_SECONDS) -> None:
        """Look at the nodes, unless that was done a moment ago or they are out of reach."""
        if time.monotonic() - self._looked < age_seconds or not self.connect(0.0):
            return
        try:
            self._nodes = [Node(**node) for node in self.ask("nodes")]
        except (BridgeLost, Refused) as error:
            self.lose(str(error))
            return
        self._looked = time.monotonic()
        self._seen |= {node.name: node for node in self._nodes}

    def lose(self, reason: str) -> None:
        """Give the connection up; the next `connect` starts a new one."""
        self.trouble = reason
        if self._lost_since is None:
            self._lost_since = time.monotonic()
            logger.warning("engine ray: lost the cluster: %s", reason)
        if self._link is not None:
            self._link.close()
            self._link = None

    def is_hopeless(self, wanted: Demand) -> bool:
        """Tell whether no node that was ever there, or none for too long, could take ``wanted``."""
        kind = str(sorted(wanted.items()))
        if fits(self._nodes, wanted):
            self._missing.pop(kind, None)
            return False
        since = self._missing.setdefault(kind, time.monotonic())
        return not fits(self.seen, wanted) or time.monotonic() - since > self._patience

    def check_patience(self) -> None:
        """Raise SurroundingsError where the cluster has been out of reach for too long."""
        if self._lost_since is not None and time.monotonic() - self._lost_since > self._patience:
            raise self.unreachable()

    def unreachable(self) -> SurroundingsError:
        """Return what to tell the user."""
        if self.trouble.startswith(("ImportError", "ModuleNotFoundError")):
            return SurroundingsError(
                f"engine ray: Ray cannot be imported ({self.trouble}). "
                'Install it with: pip install "ablate-studies[ray]"'
            )
        return SurroundingsError(
            f"engine ray: no Ray cluster at address {self._address!r} ({self.trouble}). Start one "
            "with `ray start --head`, make this machine a node of one with `ray start "
            "--address=HOST:PORT --num-cpus=0`, or correct `address` in the place file."
        )

    def close(self) -> None:
        """Hang up; attempts live on."""
        if self._link is not None:
            self._link.close()
            self._link = None
