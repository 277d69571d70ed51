"""Small effects and scores to draw, and reading back what was drawn."""

from __future__ import annotations

import html
import io
import math
import re

import numpy as np
from PIL import Image

from ablate.reporting.effects import Basis, EffectRow
from ablate.reporting.figures.save import Drawing
from ablate.stats.estimate import Claim, Estimate
from ablate.stats.verdicts import Verdict

NOTHING = Estimate(math.nan, math.nan, math.nan)


def estimate(value: float, half: float, *, seeds: int = 3) -> Estimate:
    """Return a number with the interval ``value`` ± ``half``, on 10 degrees of freedom."""
    error = half / 2.228138852
    return Estimate(
        *(value, value - half, value + half, error, 10.0, 400, seeds),
        claim=Claim.RECIPE if seeds > 1 else Claim.CHECKPOINT,
    )


def effect(
    label: str,
    value: float,
    half: float = 1.0,
    *,
    verdict: Verdict = Verdict.INCONCLUSIVE,
    seeds: int = 3,
) -> EffectRow:
    """Return one line of the effects table; with one seed its interval is over items."""
    shown = estimate(value, half, seeds=seeds)
    bare = Estimate(value, math.nan, math.nan, n_items=400, n_seeds=1)
    return EffectRow(
        kind="baseline",
        label=label,
        treatment=label,
        control="SFT",
        metric="average",
        effect=shown if seeds > 1 else bare,
        checkpoint=NOTHING if seeds > 1 else shown,
        p_adjusted=0.2,
        p_equivalence=math.nan,
        shrunken=math.nan,
        verdict=verdict,
        detectable=1.0,
        seeds_to_resolve=None,
        tipping_seed_sd=math.nan,
        confirmatory=True,
        basis=Basis.CROSSED if seeds > 1 else Basis.ITEMS,
        invalid=(),
        warnings=(),
        run_ids=(),
    )


def words(svg: bytes) -> list[str]:
    """Return every text of a drawing, in order."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", svg.decode(), re.DOTALL)
    return [html.unescape(re.sub("<[^>]*>", "", one)) for one in found]


def font_sizes(svg: bytes) -> set[float]:
    """Return the sizes of every text in points."""
    return {float(size) for size in re.findall(rb"font-size: ([\d.]+)px", svg)} | {
        float(size) for size in re.findall(rb"font: ([\d.]+)px", svg)
    }


def inches(svg: bytes) -> tuple[float, float]:
    """Return width and height of a drawing."""
    found = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert found is not None
    return float(found[1]) / 72, float(found[2]) / 72


def edge_is_free(drawing: Drawing) -> bool:
    """Return whether the outermost pixels are white: nothing is cut by the figure's edge."""
    pixels = np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L"))
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return all(bool((edge > 250).all()) for edge in edges)
