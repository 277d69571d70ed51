"""``ablate plan``: what will run, what it will cost, and what an edit changes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ablate.cli.fits import what_fits
from ablate.cli.growing import tuning_lines, whole
from ablate.cli.look_lines import all_looks
from ablate.cli.needs import evaluation_lines
from ablate.cli.opening import OpenStudy, cached_jobs, history, open_study
from ablate.cli.output import bold, counted, duration, print_json, size, table
from ablate.cli.store_lines import store_notes
from ablate.cli.stored import open_store
from ablate.cli.where import cell_levels, where
from ablate.plan.baseline import baseline_cells
from ablate.plan.diff import PlanDiff, diff_plans
from ablate.plan.estimate import Estimator
from ablate.plan.power import Sight, sight
from ablate.plan.summary import PlanSummary, summarize

MOST_CELLS_SHOWN = 40


def run(args: argparse.Namespace) -> int:
    """Print the plan, or the difference to an older study file."""
    opened = open_study(args.study, args.sets)
    if args.diff:
        old = open_study(args.diff, [])
        difference = diff_plans(whole(old).plan, whole(opened).plan)
        print_json(difference) if args.json else _print_diff(difference, args.diff)
        return 0
    store, place = open_store(args), where(args)
    opened = whole(opened, store)
    slots, estimator = place.slots(opened.plan.jobs), Estimator(history(store))
    cached = cached_jobs(store, opened.plan)
    summary = summarize(opened.plan, estimator, cached=cached, slots=slots)
    cell_levels(args.priority, baseline_cells(opened.loaded.study, opened.plan.cells))
    fitting = what_fits(opened, place, estimator, cached=cached, first=args.priority)
    notes = store_notes(store, opened.plan, cached=cached, slots=slots)
    refused = [] if args.any_size else place.refusals(opened.plan.jobs)
    seen = sight(opened.loaded.study, opened.plan.cells)
    looks = all_looks(opened, store, estimator, slots=slots)
    data = None
    if not args.no_data:
        # Imported here: a plan that says nothing about data does not wait for what reads it.
        from ablate.cli import plan_data

        data = plan_data.planned_data(opened, store, read_all=args.data)
    if args.json:
        known = None if data is None else data.as_json()
        fits = None if fitting is None else fitting.as_json()
        record = {"sight": seen, "data": known, "fits": fits, "too_large": refused, "looks": looks}
        print_json({**vars(summary), **record, **notes.as_json()})
    else:
        _print_summary(opened, summary)
        for line in notes.lines():
            print(line)
        for line in tuning_lines(opened, summary):
            print(line)
        for line in () if looks is None else looks.lines():
            print(line)
        for line in () if fitting is None else fitting.lines():
            print(line)
        for line in () if data is None else data.lines():
            print(line)
        for line in evaluation_lines(opened.plan.jobs):
            print(line)
        _print_sight(seen)
        if args.order:
            print("\norder:\n" + "\n".join(summary.order))
        for line in refused:
            print(f"too large: {line}")
    return 3 if refused or (data is not None and data.broken) else 0


def _print_summary(opened: OpenStudy, summary: PlanSummary) -> None:
    shared = summary.one_at_a_time_jobs - sum(row.unique for row in summary.stages)
    print(bold(f"study {summary.study}"))
    design = f"{counted(summary.cells, 'cell')} × {counted(summary.seeds, 'seed')}"
    print(f"{design} = {counted(summary.runs, 'run')}\n")
    print(_grid(opened))
    print()
    header = ["stage", "unique", "cached", "to run", "est. total", "memory", "basis"]
    rows = [
        [
            *(row.stage, row.unique, row.cached, row.to_run),
            *(duration(row.seconds), size(row.memory_bytes), row.basis),
        ]
        for row in summary.stages
    ]
    print(table(header, rows))
    saved = summary.one_at_a_time_seconds - summary.unique_seconds
    print(
        f"\nsharing saves {shared} of {summary.one_at_a_time_jobs} jobs "
        f"({duration(saved)} of {duration(summary.one_at_a_time_seconds)}) "
        "against one cell at a time"
    )
    print(
        f"estimated wall time: {duration(summary.wall_seconds)} on {counted(summary.slots, 'slot')}"
    )
    print(f"memory: at most about {size(summary.memory_bytes)} for all slots together, on a CPU")
    print(f"disk: about {size(summary.disk_bytes)} of new artifacts")


def _print_sight(seen: Sight | None) -> None:
    if seen is None:
        print(
            "smallest difference it can see: unknown, the suite does not say how many items it has"
        )
        return
    assumed = seen.assumed
    more = "" if seen.seeds > 1 else "; one seed speaks about checkpoints, not about recipes"
    print(
        f"smallest difference it can see: {seen.detectable_points:.1f} points of the average "
        f"(margin {seen.margin_points:g}){more}\n"
        f"  {seen.items} items, {counted(seen.seeds, 'seed')}, "
        f"{counted(seen.comparisons, 'comparison')}, power "
        f"{assumed.power:.0%}; assumed: {assumed.discordance:.0%} of items answered differently, "
        f"{assumed.seed_sd:g} {'point' if assumed.seed_sd == 1 else 'points'} between seeds"
    )


def _grid(opened: OpenStudy) -> str:
    cells = opened.plan.cells
    factors = list(dict.fromkeys(factor for cell in cells for factor in cell.levels))
    rows = [
        [cell.name, *(cell.levels.get(factor) for factor in factors)]
        for cell in cells[:MOST_CELLS_SHOWN]
    ]
    text = table(["cell", *factors], rows)
    hidden = len(cells) - len(rows)
    return f"{text}\n… and {hidden} more cells" if hidden else text


def _print_diff(difference: PlanDiff, old: str) -> None:
    print(f"compared with {old}:")
    for label, names in (
        ("added", difference.added_cells),
        ("removed", difference.removed_cells),
        ("changed", difference.changed_cells),
    ):
        print(f"  cells {label}: {', '.join(names) or 'none'}")
    for label, jobs in (
        ("new", difference.added_jobs),
        ("dropped", difference.removed_jobs),
        ("reused", difference.reused_jobs),
    ):
        print(f"  jobs {label}: {_by_stage(jobs)}")


def _by_stage(jobs: Mapping[str, int]) -> str:
    total = sum(jobs.values())
    parts = ", ".join(f"{stage} {count}" for stage, count in sorted(jobs.items()))
    return f"{total} ({parts})" if jobs else "0"
