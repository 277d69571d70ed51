"""Where a study runs: an engine's name, or a small file that says more; never part of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from ablate.errors import StudyError, SurroundingsError, unknown_choice
from ablate.execution.stages import ENTRY_POINTS, WITHOUT_DEVICE
from ablate.spec.config import Config
from ablate.spec.load import study_error
from ablate.spec.messages import field_problem, one_of, structure_problems
from ablate.spec.problems import Problem
from ablate.spec.source import Source, at_mark
from ablate.spec.yaml_source import UnreadableYaml, decode, parse

Count = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0)]


OURS = frozenset(
    {"array", "job-name", "output", "error", "signal", "requeue", "no-requeue", "nodes", "wait"}
    | {"ntasks", "ntasks-per-node", "cpus-per-task", "gres", "mem", "time", "partition", "account"}
)
"""Options of sbatch that an attempt's job needs as they are, or that have a field."""

ASKING = tuple(sorted(ENTRY_POINTS.keys() - WITHOUT_DEVICE))
"""Stages that can have accelerators."""


class LocalPlace(Config):
    """This machine."""

    engine: Literal["local"] = "local"
    slots: Count | None = None
    """Jobs at a time on cores; none takes one per core."""
    threads: Count = 1
    """Threads of a job."""
    devices: dict[str, Count] = {}
    """Accelerators of a job by stage, such as ``{policy: 4}``; 1 for those not named."""
    slots_per_device: Count = 1
    """Jobs that share an accelerator when their memory fits together."""
    hours: Positive | None = None
    """Longest duration of a job."""

    @field_validator("devices")
    @classmethod
    def _of_stages(cls, devices: dict[str, int]) -> dict[str, int]:
        for name in devices:
            if name not in ASKING:
                raise field_problem(one_of(name, ASKING), name)
        return devices


class SlurmPlace(LocalPlace):
    """A Slurm cluster whose nodes see the store."""

    engine: Literal["slurm"] = "slurm"  # type: ignore[assignment]
    hours: Positive | None = 4.0
    """Time limit of a job; one that reaches it goes on from its checkpoint."""
    slots: Count | None = 64
    """Jobs in the queue or running at a time."""
    partition: str | None = None
    """Partition; none takes the cluster's default."""
    account: str | None = None
    """Account."""
    memory_gb: Positive | None = None
    """Memory of a job; none takes the estimate, or the cluster's default where there is none."""
    pack: Count = 1
    """Small jobs that share one allocation, run side by side in it."""
    setup: tuple[str, ...] = ()
    """Shell lines before a job, such as ``source ~/env/bin/activate``."""
    options: dict[str, str | int] = {}
    """Further options of sbatch by their long names, such as ``{constraint: a100}``."""
    accelerators: str = "auto"
    """Generic resource of the accelerators, such as ``gpu:a100``; ``none`` runs all on cores, and
    ``auto`` takes ``gpu`` where a node of the partition has it."""
    python: str | None = None
    """Interpreter on the nodes; none takes the one that runs ``ablate``, by its path."""

    @field_validator("options")
    @classmethod
    def _leaves_ours(cls, options: dict[str, str | int]) -> dict[str, str | int]:
        for name in options:
            if name.replace("_", "-") in OURS:
                raise ValueError(
                    f"{name!r} is set by ablate; leave it out, or use a field of its own"
                )
        return options


class RayPlace(LocalPlace):
    """A Ray cluster whose nodes see the store."""

    engine: Literal["ray"] = "ray"  # type: ignore[assignment]
    address: str = "auto"
    """Address of the cluster; ``auto`` takes RAY_ADDRESS or the cluster of this machine."""
    device_gb: Positive | None = None
    """Memory of an accelerator; without it, jobs that share one are started one by one."""
    autoscaling: bool = False
    """Nodes come when jobs wait for them, so jobs are sent although there is no room yet."""
    environment: dict[str, str] = {}
    """Further environment variables of the jobs, such as ``{HF_HOME: /shared/models}``."""

    @model_validator(mode="after")
    def _a_cluster_that_stays(self) -> Self:
        # Ray's own words for a cluster that ends with its first process, and for a connection by
        # proxy, which needs a server of its own.
        if self.address == "local" or self.address.startswith("ray://"):
            found = f"{self.address!r} is not a cluster's address; auto and HOST:PORT are. "
            raise field_problem(found + "See docs/engines.md.", "address")
        return self


PLACES: dict[str, type[LocalPlace]] = {
    "local": LocalPlace,
    "slurm": SlurmPlace,
    "ray": RayPlace,
}
"""Kinds of place by the engine's name."""
MOST_BYTES = 1 << 20
"""Largest place file."""


def open_place(name: str) -> LocalPlace:
    """Return the place that ``name`` means: an engine, or a YAML file with ``engine`` and fields.

    Raises StudyError for what a file says wrongly, SurroundingsError where it cannot be read.
    """
    if name in PLACES:
        return PLACES[name]()
    path = Path(name).expanduser()
    if not name.endswith((".yaml", ".yml")):
        known = [*PLACES, "FILE.yaml"]
        raise StudyError(unknown_choice("--engine", name, known))
    try:
        content = path.read_bytes()[: MOST_BYTES + 1]
    except OSError as error:
        reason = error.strerror or str(error)
        raise SurroundingsError(f"{path}: cannot be read ({reason}). Correct the path.") from None
    return place_from_text(content, name=str(path))


def place_from_text(content: bytes, *, name: str) -> LocalPlace:
    """Check the text of a place file; see `open_place`."""
    text = ""
    try:
        if len(content) > MOST_BYTES:
            raise UnreadableYaml(f"larger than {MOST_BYTES:,} bytes. Shorten it.", 0, 0)
        text = decode(content)
        root, marked = parse(text)
    except UnreadableYaml as error:
        raise StudyError(at_mark(name, text, (error.line, error.column), error.message)) from None
    if root is None or root.kind != "mapping":
        raise StudyError(f"{name}: not a mapping; it needs `engine: local`, slurm or ray.")
    source = Source(name, text, root)
    problems = [Problem((), what, mark=(line, column)) for what, line, column in marked]
    data = root.data()
    if not isinstance(data.get("engine"), str) or data["engine"] not in PLACES:
        found = unknown_choice("engine", data.get("engine"), PLACES)
        problems.append(Problem(("engine",), found.removeprefix("engine: ")))
        raise study_error(source, problems)
    try:
        place = _validated(data)
    except ValidationError as error:
        fields = PLACES[data["engine"]].model_fields
        problems += structure_problems(error.errors(include_url=False), lambda place: fields)
        raise study_error(source, problems) from None
    if problems:
        raise study_error(source, problems)
    return place


def _validated(data: dict[str, Any]) -> LocalPlace:
    return PLACES[data["engine"]].model_validate(data)
