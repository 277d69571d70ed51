"""What an evaluation computes from its suite: the tasks that are kept, of which documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from ablate.spec.evaluation import EvaluationConfig, ImportedConfig
from ablate.spec.imported import ImportedCell
from ablate.spec.making import Maker
from ablate.spec.messages import one_of, show
from ablate.spec.names import Files, LocalFile, Missing
from ablate.spec.recipes import UnresolvedError
from ablate.spec.registry import SuiteEntry, registry
from ablate.spec.suite_checks import VALIDATED
from ablate.spec.suites import SuiteDefinition, TaskDefinition

_OF_CODE = ("samples", "temperature", "shots")
"""Fields that the tasks of a suite file say themselves."""


class SuiteMaker(Maker):
    """Fills in what the loader found of a suite."""

    def _suite(self, config: EvaluationConfig, given: Iterable[str]) -> Mapping[str, object]:
        """Return the fields of an evaluation that its suite determines.

        ``given`` are the fields that the study sets. Raises UnresolvedError.
        """
        name = config.suite
        entry = registry().suites.get(name)
        if entry is not None and entry.by_name:
            _refuse_choices(config)
            if entry.world is not None:
                return {}
            file = self.file("suite", name, "evaluation.suite")
            return {"content": file.content, "location": file.location}
        file = self.file("suite", name, "evaluation.suite")
        if useless := [field for field in _OF_CODE if field in given]:
            found = f"no effect on the suite {name!r}, whose tasks say it themselves"
            raise UnresolvedError(
                f"evaluation.{useless[0]}",
                f"{found}. Remove it, or write a suite file of your own.",
            )
        tasks = _kept(config, file.suite)
        definition = SuiteDefinition(tasks=tasks, divergence=file.suite.divergence)
        return {
            "definition": definition,
            "content": _content(file, tasks),
            "location": file.location,
            **self._judge(config, tasks),
        }

    def _judge(
        self, config: EvaluationConfig, tasks: Mapping[str, TaskDefinition]
    ) -> Mapping[str, object]:
        """Return the judge with the hash of its files, where any task needs one."""
        judged = [name for name, task in tasks.items() if "judge" in task.needs]
        judge = config.judge
        if judged and judge is None:
            listed = ", ".join(judged)
            found = f"none, and {listed} of the suite {config.suite!r} need one"
            advice = "Set evaluation.judge: {kind: endpoint, url: ..., model: ...}"
            without = f"or leave them out with evaluation.without: [{listed}]"
            raise UnresolvedError("evaluation.judge", f"{found}. {advice}, {without}.")
        if not judged or judge is None:
            return {"judge": None}
        if not judge.model or (judge.kind == "endpoint" and not judge.url):
            lacking = "model" if not judge.model else "url"
            raise UnresolvedError(f"evaluation.judge.{lacking}", f"not given. Set {lacking}.")
        if judge.kind == "endpoint" and set(judge.url) & set("@?#"):
            # Not repeated here: the address is written into plans and logs.
            found = "an address with credentials, a query or a fragment"
            advice = "Put a key into the environment variable that key_variable names"
            raise UnresolvedError("evaluation.judge.url", f"{found}. {advice}.")
        if judge.prompts and judge.template is not None:
            found = f"{judge.template!r} beside prompts of your own, which replace it"
            raise UnresolvedError("evaluation.judge.template", f"{found}. Remove one of them.")
        places: dict[str, str] = {}
        if judge.prompts:
            file = self.file("data", judge.prompts, "evaluation.judge.prompts")
            places |= {"prompts_content": file.content, "prompts_location": file.location}
        if judge.kind != "endpoint":
            if ("model", judge.model) not in self.files.found:
                allowed = "a folder (./name), a GGUF file or a hub id with its commit is allowed"
                found = f"{show(judge.model)} is no model on this machine; {allowed}"
                raise UnresolvedError("evaluation.judge.model", f"{found}. Name one of them.")
            file = self.file("model", judge.model, "evaluation.judge.model")
            places |= {"content": file.content, "location": file.location}
        return {"judge": judge.model_copy(update=places)}


def imported_configs(
    cell: ImportedCell, evaluation: EvaluationConfig, files: Files
) -> tuple[ImportedConfig, ...]:
    """Return what is read for an imported cell, one configuration a seed.

    Raises UnresolvedError where a file is not here.
    """
    if not cell.files:
        published = ImportedConfig(
            files="",
            source=cell.source,
            scores=cell.scores,
            tasks=cell.tasks,
            errors=cell.errors,
        )
        return (published,)
    maker = Maker(files)
    found = [maker.file("results", name, "imported") for name in cell.files]
    return tuple(
        ImportedConfig(
            files=name,
            format=cell.format,
            model=cell.model,
            names=cell.names,
            suite=evaluation.suite,
            definition=evaluation.definition,
            content=file.content,
            location=file.location,
        )
        for name, file in zip(cell.files, found, strict=True)
    )


def _refuse_choices(config: EvaluationConfig) -> None:
    for field in ("without", "judge"):
        if getattr(config, field):
            found = f"no effect on the suite {config.suite!r}, whose tasks are fixed"
            raise UnresolvedError(f"evaluation.{field}", f"{found}. Remove it.")


def _kept(config: EvaluationConfig, entry: SuiteEntry) -> dict[str, TaskDefinition]:
    for name in config.without:
        if name not in entry.tasks:
            message = f"{show(name)}: {one_of(name, entry.tasks)}"
            raise UnresolvedError("evaluation.without", message)
    kept = {name: task for name, task in entry.tasks.items() if name not in config.without}
    if not kept:
        raise UnresolvedError("evaluation.without", "no task of the suite is left. Keep one.")
    tested = [name for name, task in kept.items() if task.kind not in VALIDATED]
    if config.split == "validation" and tested:
        listed = ", ".join(tested)
        advice = f"Set split: test, or leave them out with evaluation.without: [{listed}]"
        found = f"'validation', and {listed} of {config.suite!r} have test documents alone"
        raise UnresolvedError("evaluation.split", f"{found}. {advice}.")
    return {name: _limited(task, config) for name, task in kept.items()}


def _limited(task: TaskDefinition, config: EvaluationConfig) -> TaskDefinition:
    """Return a task with the fewest documents that tier, suite and study ask for."""
    limits = (task.documents.get(config.tier), task.limit, config.limit)
    found = min((limit for limit in limits if limit is not None), default=None)
    return task.model_copy(update={"limit": found})


def _content(file: LocalFile, tasks: Iterable[str]) -> str:
    """Return the hash of what the kept tasks read; one that is not here is an error."""
    contents = []
    for name in tasks:
        content = file.parts[name]
        if isinstance(content, Missing):
            advice = f" Or leave it out with evaluation.without: [{name}]."
            raise UnresolvedError(
                "evaluation.suite", content.reason + advice, surroundings=content.surroundings
            )
        contents.append(f"{name}\0{content}\n")
    return hashlib.sha256("".join(contents).encode()).hexdigest()
