"""The process that speaks to Ray for the engine: one JSON line asks, one answers.

Ray's driver takes over signal handlers, writes to the terminal from C++ whatever it is told, and
ends its process when the cluster's head dies. None of that may happen to a controller, so the
driver is a process of its own, which the engine starts anew when it has died. Attempts are
detached actors and do not notice.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablate.execution.engines.lifeline import hold_lifeline
from ablate.execution.engines.protocol import Observation, State
from ablate.execution.engines.ray_actor import AttemptActor, Order

KNOCK_SECONDS = 10.0
"""For the cluster's head to accept a connection."""
STOP_SECONDS = 10.0
"""For an actor to stop its worker; afterwards it is killed itself, and the worker with it."""


@dataclass
class Tracked:
    """An actor whose end is awaited."""

    actor: Any
    """Ray's handle of it."""
    begun: Any
    """Reference to the node it started on."""
    ended: Any
    """Reference to how its worker ended."""
    node: str | None = None
    """Where it runs; None before it does."""


class Bridge:
    """Carries out what the engine asks; every public method is an operation of that name."""

    def __init__(self, ray: Any, address: str) -> None:
        """Connect to the cluster; raises ConnectionError and others where that fails."""
        self._ray = ray
        address = _answering(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        self._tracked: dict[str, Tracked] = {}

    def nodes(self) -> list[dict[str, Any]]:
        """Return address, total and free amounts of every living node."""
        from ray._private.state import available_resources_per_node

        free = available_resources_per_node()
        return [
            {
                "name": node["NodeManagerAddress"],
                "total": node["Resources"],
                "free": free.get(node["NodeID"], {}),
            }
            for node in self._ray.nodes()
            if node["Alive"]
        ]

    def start(self, handle: str, order: Mapping[str, Any], demand: Mapping[str, float]) -> bool:
        """Create the actor, or find the one that has the name already."""
        if self.find(handle):
            return True
        values = {**order, "python_path": tuple(order["python_path"])}
        namespace, name = _named(handle)
        options = {
            "name": name,
            "namespace": namespace,
            "lifetime": "detached",
            # Retries are the controller's; a second start would be a second writer.
            "max_restarts": 0,
            "max_task_retries": 0,
            "num_cpus": demand.get("CPU", 0),
            "num_gpus": demand.get("GPU", 0),
        }
        if "memory" in demand:
            options["memory"] = int(demand["memory"])
        actor = self._ray.remote(AttemptActor).options(**options).remote(Order(**values))
        self._track(handle, actor)
        return True

    def find(self, handle: str) -> bool:
        """Tell whether an attempt's actor lives; from now on `wait` speaks of it."""
        namespace, name = _named(handle)
        try:
            actor = self._ray.get_actor(name, namespace=namespace)
        except ValueError:
            return False
        if handle not in self._tracked:
            self._track(handle, actor)
        return True

    def wait(self, seconds: float) -> dict[str, dict[str, Any]]:
        """Return the word about every tracked attempt, waiting at most so long for a change.

        One that is gone is forgotten with that.
        """
        awaited = [t.begun if t.node is None else t.ended for t in self._tracked.values()]
        if awaited:
            ready, _ = self._ray.wait(awaited, num_returns=1, timeout=seconds)
            if ready:
                ready, _ = self._ray.wait(awaited, num_returns=len(awaited), timeout=0)
            done = set(ready)
            words = {h: self._word(t, done) for h, t in list(self._tracked.items())}
        else:
            words = {}
        for handle, word in words.items():
            if word.state is State.GONE:
                # Its resources are free from here on, not when it is tired of waiting.
                self._ray.kill(self._tracked.pop(handle).actor)
        return {handle: asdict(word) for handle, word in words.items()}

    def stop(self, handle: str, gently: bool) -> None:
        """Ask a worker to stop, or kill it; one that has not begun is taken back."""
        tracked = self._tracked.get(handle)
        if tracked is None:
            return
        errors = self._ray.exceptions
        if tracked.node is None and not self._ray.wait([tracked.begun], timeout=0)[0]:
            self._ray.kill(tracked.actor)
            return
        try:
            self._ray.get(tracked.actor.stop.remote(gently), timeout=STOP_SECONDS)
        except (errors.RayActorError, errors.GetTimeoutError):
            if not gently:
                self._ray.kill(tracked.actor)

    def _track(self, handle: str, actor: Any) -> None:
        self._tracked[handle] = Tracked(actor, actor.begun.remote(), actor.ended.remote())

    def _word(self, tracked: Tracked, done: set[Any]) -> Observation:
        errors = self._ray.exceptions
        try:
            if tracked.node is None:
                if tracked.begun not in done:
                    return Observation(State.PENDING)
                tracked.node = self._ray.get(tracked.begun)
            if not self._ray.wait([tracked.ended], timeout=0)[0]:
                return Observation(State.RUNNING)
            code, reason = self._ray.get(tracked.ended)
        except errors.ActorUnavailableError:
            # The connection broke; Ray itself does not know yet whether more than that did.
            tracked.begun, tracked.ended = (
                tracked.actor.begun.remote(),
                tracked.actor.ended.remote(),
            )
            return Observation(State.RUNNING, reason="does not answer for the moment")
        except errors.RayError as error:
            return self._death(tracked, error)
        return Observation(State.GONE, code, True, reason)

    def _death(self, tracked: Tracked, error: Exception) -> Observation:
        """Return what an actor's death says about its worker.

        The worker of an actor that died on a living node has died with it. Of a dead node Ray
        knows only that it is silent: its processes may still write.
        """
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if getattr(error, "actor_init_failed", False):
            return Observation(State.GONE, None, True, lines[-1])
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            reason = "OUT_OF_MEMORY: killed by Ray, for its node had too little left"
            return Observation(State.GONE, None, True, reason)
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        if "never ran" in text or tracked.node in alive:
            told = [line for line in lines if line.startswith("The actor is dead because")]
            return Observation(State.GONE, None, True, (told or lines)[-1][:300])
        reason = "its node died, or Ray lost sight of it"
        return Observation(State.GONE, None, False, reason, blameless=True)


def _answering(address: str) -> str:
    """Return the address, the variable's for ``auto``; raises OSError where nobody answers.

    Ray itself would go on knocking for longer than anybody waits.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    return address


def _named(handle: str) -> tuple[str, str]:
    """Return the namespace and the name of an attempt's actor."""
    namespace, _, name = handle.partition("/")
    return namespace, name


def serve(bridge: Bridge, channel: socket.socket) -> None:
    """Answer until the engine hangs up."""
    operations: Mapping[str, Callable[..., Any]] = {
        name: getattr(bridge, name) for name in ("nodes", "start", "find", "wait", "stop")
    }
    with channel.makefile("rw", encoding="utf-8") as lines:
        _say(lines, {"result": "ready"})
        for line in lines:
            asked = json.loads(line)
            try:
                answer = {"result": operations[asked.pop("op")](**asked)}
            except Exception as error:  # The engine says it in its own way.
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            _say(lines, answer)


def _say(lines: Any, answer: Mapping[str, Any]) -> None:
    lines.write(json.dumps(answer) + "\n")
    lines.flush()


def main(arguments: Sequence[str]) -> int:
    """Serve on the descriptor and for the address that the command line names."""
    hold_lifeline()
    channel = socket.socket(fileno=int(arguments[0]))
    try:
        import ray

        bridge = Bridge(ray, arguments[1])
    except Exception as error:  # Told to the engine, which knows what the user can do.
        traceback.print_exc()
        with channel.makefile("w", encoding="utf-8") as lines:
            _say(lines, {"error": f"{type(error).__name__}: {error}"})
        return 1
    serve(bridge, channel)
    # Says what is still unsaid; at the interpreter's exit Ray would first wait for log lines.
    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
