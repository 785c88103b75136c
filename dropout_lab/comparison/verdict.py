"""The words of a comparison, generated from its numbers: conditions, notes and the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from dropout_lab.comparison.compare import Comparison, Contrast, Side
from dropout_lab.comparison.inference import ALPHA, FEWEST
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import shown
from dropout_lab.text import count, named_seeds, shown_seeds

LEVEL = f"{ALPHA}".removeprefix("0")  # ".05"
DIGESTS = ("data", "git_commit")  # shown by their first seven digits


def verdicts(comparison: Comparison) -> list[str]:
    """Return one sentence per candidate, with its name where there are several."""
    if len(comparison.contrasts) == 1:
        return [sentence(comparison.contrasts[0])]
    named = [(f"{contrast.candidate.name}: ", sentence(contrast)) for contrast in comparison.contrasts]
    return [text if text.startswith(name[:-2] + " is ") else name + text for name, text in named]


def sentence(contrast: Contrast) -> str:
    """Return the verdict on the primary metric, or why there is none, and which diverged seeds it leaves out."""
    left_out = [
        f"{len(side.diverged)} of {count(len(side.seeds), 'seed')} of {side.name} diverged and left out"
        for side in (contrast.baseline, contrast.candidate)
        if side.diverged
    ]
    return "; ".join([judgement(contrast), *left_out])


def judgement(contrast: Contrast) -> str:
    """Return the verdict on the primary metric, or why there is none."""
    metric, verdict, row = METRICS[contrast.metric], contrast.verdict, contrast.rows.get(contrast.metric)
    n = row.difference.n if row else 0
    if row is None or row.difference.interval is None or verdict.word == "none":
        if n < FEWEST:
            return f"no verdict: {count(n, 'seed')}; {FEWEST} or more are needed"
        return f"no verdict: all {n} differences are equal, so their spread cannot be estimated"
    low, high = row.difference.interval
    margin = f"(margin {metric.shown_difference(contrast.min_effect)})"
    span = f"{metric.shown(low, sign=True)} to {metric.shown_difference(high, sign=True)}"
    subject = subject_of(contrast)
    if verdict.word in ("better", "worse"):
        small, large = sorted((abs(low), abs(high)))
        by = f"{metric.shown(small)} to {metric.shown_difference(large)}"
        return f"{subject} is {verdict.word} by {by} on {metric.title} {margin}"
    if verdict.word == "equivalent":
        return f"{subject} is equivalent to {contrast.baseline.name} on {metric.title}: {span} {margin}"
    parts = [f"inconclusive on {metric.title}: {subject} changes it by {span} {margin}"]
    if contrast.adjusted_p is not None and not low <= 0 <= high:
        parts.append(f"Holm's p {shown_p(contrast.adjusted_p)} is not below {LEVEL}")
    if verdict.more_seeds:
        parts.append(f"about {count(verdict.more_seeds, 'more seed')} for 80 % power to find the margin")
    elif verdict.more_seeds == 0:
        parts.append(f"{n} seeds already have 80 % power to find the margin")
    return "; ".join(parts)


def subject_of(contrast: Contrast) -> str:
    """Return what is judged: the one setting that differs, or else the candidate's name."""
    if len(contrast.differs) != 1:
        return contrast.candidate.name
    ((key, (_, value)),) = contrast.differs.items()
    return f"{key} {shown(value)}"


def about(side: Side) -> str:
    """Return a run's name and its seeds."""
    return f"{side.name}  {count(len(side.seeds), 'seed')} ({shown_seeds(side.seeds)})"


def pairing(contrast: Contrast) -> str:
    """Return how the seeds of two runs go together."""
    return "paired by seed" if contrast.common else "not paired"


def differences(contrast: Contrast) -> str:
    """Return "key before -> after" for all that differs, in config and surroundings."""
    changes = {**contrast.differs, **contrast.environment}
    return ", ".join(f"{k} {condition(k, a)} -> {condition(k, b)}" for k, (a, b) in changes.items()) or "nothing"


def condition(key: str, value: object) -> str:
    """Return a setting's value as one reads it; of a digest, its first digits."""
    return str(value)[:7] if key in DIGESTS and value else shown(value)


def notes(comparison: Comparison) -> Iterator[str]:
    """Yield what a reader must know before believing the table."""
    sides = {side.path: side for contrast in comparison.contrasts for side in (contrast.baseline, contrast.candidate)}
    for side in sides.values():
        if side.diverged:
            share = f"{len(side.diverged)} of {count(len(side.seeds), 'seed')}"
            yield f"{side.name}: {share} diverged, left out of every number: {shown_seeds(side.diverged)}"
    for contrast in comparison.contrasts:
        name = contrast.candidate.name
        if contrast.beside:
            keys = ", ".join(contrast.beside)
            yield f"{name} differs in {keys}: the differences below are not the effect of dropout alone"
        if not contrast.common:
            yield f"{name} has no seed in common with {contrast.baseline.name}: Welch's interval of independent seeds"
        for side in (contrast.baseline, contrast.candidate):
            if alone := contrast.alone(side):
                yield f"{side.name}: no partner for {named_seeds(alone)}, left out"
        lacking: dict[tuple[int, ...], list[str]] = {}
        for key, metric in METRICS.items():
            lacking.setdefault(contrast.missing(key), []).append(metric.title)
        for seeds, titles in lacking.items():
            if seeds:
                yield f"{name}: nothing to compare for {named_seeds(seeds)} in {', '.join(titles)}"
    if len(comparison.contrasts) > 1:
        yield f"p is adjusted by Holm over the {len(comparison.contrasts)} comparisons with {comparison.baseline.name}"


def images(contrast: Contrast) -> str:
    """Return what McNemar's test says of the networks on the test images, pair by pair. `images` must not be empty."""
    tests = list(contrast.images.values())
    net, disagree = (sum(numbers) / len(tests) for numbers in zip(*((t.net, t.disagree) for t in tests), strict=True))
    found = f"{net:+.0f} net of {disagree:.0f} on which they disagree"
    if len(tests) == 1:
        return f"{found}; exact McNemar p {shown_p(tests[0].p)}, which is about these two networks, not the method"
    clear = sum(test.p < ALPHA for test in tests)
    return f"{found} per seed; exact McNemar p < {LEVEL} for {clear} of {count(len(tests), 'seed')}"


# Numbers


def shown_p(p: float) -> str:
    """Return a p-value as journals print it: ".008", "<.001"."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
