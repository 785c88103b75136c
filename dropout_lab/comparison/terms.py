"""What the words of a comparison mean, one line each. The metrics explain themselves in metrics.py."""

from __future__ import annotations

import textwrap

from dropout_lab.comparison.inference import FEWEST
from dropout_lab.comparison.metrics import METRICS

COLUMN = 20  # where the explanations begin; the longest term has two columns less

WORDS: dict[str, str] = {
    "±": "standard deviation over the seeds: how far one training is from another",
    "diff": "candidate minus baseline, mean over the seeds; pp: percentage points",
    "95% CI": "of such intervals, 95 % contain the true mean difference",
    "p": "how often equal methods would differ so much by chance; small: rarely",
    "Holm p": "p, raised for the number of candidates that are judged together",
    "n": "pairs of seeds that count; not paired: seeds of the smaller run",
    "all equal": "no spread: the difference is the same for every seed",
    "paired by seed": "a seed has the same first weights and order of images in both runs",
    "per seed": "the difference of the judged metric, seed by seed",
    "margin": "the smallest difference that matters (--min-effect)",
    "better": "the interval excludes 0, in the good direction",
    "worse": "the interval excludes 0, in the bad direction",
    "perhaps by less": "the interval excludes 0, but part of it lies within the margin",
    "equivalent": "the whole interval lies within the margin, with or without 0",
    "inconclusive": "the interval allows for more than one of these: add seeds",
    "no verdict": f"fewer than {FEWEST} seeds, no spread, or the candidate diverged more often",
    "looks": "verdicts shown before; then the interval holds whenever you stop",
    "seeds": "how many more would answer the open question in 80 % of cases",
    "on new images too": "the same verdict if other test images were drawn as well",
    "label noise": "the gap's training loss counts the labels trained on, wrong ones included",
    "overfit": "whether gap and overfitting changed; not the judged metric",
    "McNemar": "one seed: whether two networks, not methods, differ on these images",
}


def terms() -> dict[str, str]:
    """Return what every term of a comparison means: the metrics in the order of the table, then the words."""
    return {metric.title: metric.about for metric in METRICS.values()} | WORDS


def to_text(width: int) -> str:
    """Return the terms as lines of at most `width` columns."""
    indent = " " * COLUMN
    lines = (
        textwrap.fill(f"{term:<{COLUMN}}{meaning}", width, subsequent_indent=indent, break_on_hyphens=False)
        for term, meaning in terms().items()
    )
    return "\n".join(lines)


def to_markdown() -> str:
    """Return the terms as a Markdown list."""
    return "".join(f"- **{term}** {meaning}\n" for term, meaning in terms().items())
