"""The words of a comparison, generated from its numbers: conditions, notes and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dropout_lab.comparison.compare import Changes, Comparison, Contrast, Side
from dropout_lab.comparison.inference import ALPHA, FEWEST, Interval, MoreSeeds, Verdict, deciding
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import shown
from dropout_lab.text import count, named_seeds, shown_seeds

LEVEL_SHOWN = f"{100 * (1 - ALPHA):.0f} %"
RISES = {"gap": "gap (clean)", "overfitting": "rise of val loss"}  # what overfitting is measured by
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
DIGESTS = ("data", "git_commit")  # shown by their first seven digits


def verdicts(comparison: Comparison) -> list[str]:
    """Return one sentence per candidate, with its name where there are several."""
    if len(comparison.contrasts) == 1:
        return [sentence(comparison.contrasts[0])]
    named = [(f"{contrast.candidate.name}: ", sentence(contrast)) for contrast in comparison.contrasts]
    return [text if text.startswith(name[:-2] + " is ") else name + text for name, text in named]


def sentence(contrast: Contrast) -> str:
    """Return the verdict on the primary metric, or why there is none, and which diverged seeds it leaves out."""
    said = judgement(contrast)
    if "diverged" in said:
        return said
    left_out = [
        f"{len(side.diverged)} of {count(len(side.seeds), 'seed')} of {side.name} diverged and left out"
        for side in (contrast.baseline, contrast.candidate)
        if side.diverged
    ]
    return "; ".join([said, *left_out])


def judgement(contrast: Contrast) -> str:
    """Return the verdict on the primary metric, or why there is none."""
    verdict, row = contrast.verdict, contrast.row
    n, subject = row.difference.n if row else 0, subject_of(contrast)
    if row is None or n < FEWEST:
        return f"no verdict: {count(n, 'seed')}; {FEWEST} or more are needed"
    if contrast.withheld and verdict.word == "none":
        return (
            f"no verdict: {lost(contrast.candidate)}, {lost(contrast.baseline)}; a mean over the rest would flatter it"
        )
    if row.difference.interval is None:
        return f"no verdict: all {n} differences are equal, so their spread cannot be estimated"
    return asked(contrast) + answered(contrast, contrast.interval, verdict, subject) + looked(contrast)


def asked(contrast: Contrast) -> str:
    """Return the question that the seeds answer."""
    if contrast.metric != "test_accuracy" or contrast.crossed is None:
        return "if trained again: "
    return f"if trained again, on these {contrast.crossed.images:,} test images: "


def answered(contrast: Contrast, interval: Interval | None, verdict: Verdict, subject: str) -> str:
    """Return a word about an interval of the primary metric, with its numbers and the margin."""
    metric = METRICS[contrast.metric]
    margin = f"(margin {metric.shown_difference(contrast.min_effect)})"
    if interval is None:
        return f"inconclusive on {metric.title}: so few seeds leave the interval without an end {margin}"
    low, high = interval
    span = spanned(contrast.metric, interval)
    if verdict.word in ("better", "worse"):
        small, large = sorted((abs(low), abs(high))) if not low <= 0 <= high else (0.0, max(abs(low), abs(high)))
        by = f"{metric.shown(small)} to {metric.shown_difference(large)}"
        found = f"{subject} is {verdict.word} by {by} on {metric.title}"
        size = metric.shown_difference(contrast.min_effect)
        return f"{found} {margin}" if verdict.beyond_margin else f"{found}, perhaps by less than the margin of {size}"
    if verdict.word == "equivalent":
        return f"{subject} is equivalent to {contrast.baseline.name} on {metric.title}: {span} {margin}"
    return f"inconclusive on {metric.title}: {subject} changes it by {span} {margin}"


def spanned(metric: str, interval: Interval) -> str:
    """Return "-0.25 to -0.01 pp"."""
    low, high = interval
    return f"{METRICS[metric].shown(low, sign=True)} to {METRICS[metric].shown_difference(high, sign=True)}"


def looked(contrast: Contrast) -> str:
    """Return what earlier looks at this pair make of the verdict; "" for the first look."""
    if contrast.looked == "sequential":
        return f"; {LEVEL_SHOWN}, whenever you stop"
    if contrast.looked == "first":
        return ""
    n, seen = len(contrast.judged), dict.fromkeys(len(look.seeds) for look in contrast.before)
    earlier = ", ".join(str(number) if number else "an unknown number of" for number in seen) + " seeds"
    earlier = earlier if seen else f"{count(n, 'seed')}, a number that was fixed"
    fixed = f"{spanned(contrast.metric, contrast.fixed_interval)} " if contrast.fixed_interval else ""
    return (
        f"; {fixed}had {count(n, 'seed')} been fixed beforehand, but it was compared before at {earlier}, so this "
        f"interval holds whenever you stop ({LEVEL_SHOWN})"
    )


def lost(side: Side) -> str:
    """Return how many seeds of a run diverged."""
    return f"{len(side.diverged)} of {count(len(side.seeds), 'seed')} of {side.name} diverged"


def advice(contrast: Contrast) -> str:
    """Return how many more seeds would answer an open question; "" where the verdict is not open."""
    row, metric = contrast.row, METRICS[contrast.metric]
    if row is None or contrast.verdict.word != "inconclusive":
        return ""
    found = []
    if needed := seeds_shown(contrast.more_seeds(contrast.min_effect)):
        found.append(f"{needed} to find a difference of the margin")
    if needed := seeds_shown(contrast.more_seeds(abs(row.difference.mean))):
        found.append(f"{needed} for one of the size seen ({metric.shown_difference(row.difference.mean, sign=True)})")
    if needed := seeds_shown(contrast.more_seeds(contrast.min_effect, equal=True)):
        found.append(f"{needed} to show that both are as good, if they are")
    return f"{'; '.join(found)} (80 % power)" if found else ""


def seeds_shown(more: MoreSeeds) -> str:
    """Return "about 20 to 210 more seeds"; "" where even the fewest are too many to count."""
    if more.low is None:
        return ""
    low, high = rounded(more.low), rounded(more.high) if more.high else None
    if low == high:
        return f"about {count(low, 'more seed')}"
    return f"about {low:,} to {f'{high:,}' if high else 'over a million'} more seeds"


def rounded(number: int) -> int:
    """Return a number with its first two digits: more than that is not known of it."""
    return round(number, 2 - len(str(number))) if number > 99 else number


def new_images(contrast: Contrast) -> str:
    """Return whether the verdict would hold on new images too, and what part of the doubt the images make."""
    crossed, interval, metric = contrast.crossed, contrast.crossed_interval, METRICS[contrast.metric]
    if crossed is None or contrast.crossed_verdict.word == "none":
        return ""
    span = f", {spanned(contrast.metric, interval)}" if interval else ""
    said = f"on new images too: {contrast.crossed_verdict.phrase}{span}"
    parts = metric.shown(crossed.seeds_error), metric.shown_difference(crossed.images_error)
    said += f"; standard error {parts[0]} from the seeds, {parts[1]} from the images"
    half, needed = crossed.images_half, crossed.images_needed(contrast.min_effect)
    endless = contrast.word((crossed.mean - half, crossed.mean + half))
    if contrast.crossed_verdict.word == endless.word == "inconclusive" and needed:
        said += f". The {crossed.images:,} images alone leave ±{metric.shown_difference(half)}: no number of seeds will"
        said += f" do, and about {rounded(needed):,} test images would leave no more than the margin"
    return said


def overfitting(contrast: Contrast) -> str:
    """Return whether the candidate overfits less or more: the gap and the rise of val_loss, a family of two."""
    found = {key: contrast.rows[key] for key in RISES if key in contrast.rows}
    intervals = {
        key: deciding(row.difference, contrast.looked, contrast.family * len(RISES)) for key, row in found.items()
    }
    if contrast.withheld or any(row.difference.n < FEWEST for row in found.values()) or not any(intervals.values()):
        return ""
    ways = {key: (low > 0) - (high < 0) for key, (low, high) in ((k, i) for k, i in intervals.items() if i)}
    parts = ", ".join(f"{RISES[key]} {mean_change(contrast, key)}" for key, way in ways.items() if way)
    clear, name = {way for way in ways.values() if way}, subject_of(contrast)
    if not clear:
        same = ", ".join(f"{RISES[key]} {mean_change(contrast, key)}" for key in ways)
        return f"not told apart: {same}"
    open_still = f"; {METRICS[contrast.metric].title} is not told apart" * (contrast.verdict.word == "inconclusive")
    if len(clear) == 1:
        return f"{name} overfits clearly {'less' if clear == {-1} else 'more'}: {parts}{open_still}"
    return f"{name} overfits less in one way and more in another: {parts}{open_still}"


def mean_change(contrast: Contrast, key: str) -> str:
    """Return "0.0900 -> 0.0287"."""
    metric, row = METRICS[key], contrast.rows[key]
    return f"{metric.shown(row.baseline.mean)} -> {metric.shown(row.candidate.mean)}"


def subject_of(contrast: Contrast) -> str:
    """Return what is judged: the one setting that differs, or else the candidate's name."""
    if len(contrast.differs) != 1 or contrast.baseline.imported or contrast.candidate.imported:
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
    return changed({**contrast.differs, **contrast.environment}) or "nothing"


def changed(changes: Changes) -> str:
    """Return "key before -> after" for each change."""
    return ", ".join(f"{k} {condition(k, a)} -> {condition(k, b)}" for k, (a, b) in changes.items())


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
    yield from unknown(comparison)
    for contrast in comparison.contrasts:
        name = contrast.candidate.name
        if keys := ", ".join(key for key in contrast.beside if key not in comparison.tuned):
            yield f"{name} differs in {keys}: the differences below are not the effect of dropout alone"
        if not contrast.common:
            yield f"{name} has no seed in common with {contrast.baseline.name}: Welch's interval of independent seeds"
        if (seed := contrast.dominating) is not None and contrast.row:
            rest = [gain for own, gain in contrast.row.per_seed.items() if own != seed]
            mean = METRICS[contrast.metric].shown_difference(math.fsum(rest) / len(rest), sign=True)
            yield f"{name}: seed {seed} dominates the interval; the others differ by {mean} on average"
        judged = list(dict.fromkeys([*(look.metric for look in contrast.looks), contrast.metric]))
        if (place := judged.index(contrast.metric)) and place < len(ORDINALS):
            place_shown = f"{contrast.metric} is the {ORDINALS[place]} metric judged for this pair"
            yield f"{place_shown}: of several metrics, one may look clear by chance"
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
        number = len(comparison.contrasts)
        yield f"p is adjusted by Holm over the {number} comparisons with {comparison.baseline.name}"
        yield f"the intervals are simultaneous: all {number} hold together with {LEVEL_SHOWN}"


def unknown(comparison: Comparison) -> Iterator[str]:
    """Yield what nobody knows of runs that were imported, and what their logs do not have."""
    sides = [comparison.baseline, *(contrast.candidate for contrast in comparison.contrasts)]
    if not (imported := [side for side in sides if side.imported]):
        return
    were = f"{listed([side.name for side in imported])} {'was' if len(imported) == 1 else 'were'} imported"
    yield (
        f"{were}: whether all has the same data, and what differs beside what was noted, is unknown; seeds are paired "
        "by their numbers"
    )
    lacking: dict[str, list[str]] = {}
    for side in imported:
        titles = ", ".join(METRICS[key].title for key, values in side.values.items() if not values)
        lacking.setdefault(titles, []).append(side.name)
    for titles, names in lacking.items():
        if titles and len(names) < len(sides):
            yield f"not in the logs of {listed(names)}: {titles}"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), names[-1]])


def images(contrast: Contrast) -> str:
    """Return what McNemar's test says of two networks, one seed each; "" of more, of whom `new_images` speaks."""
    if len(contrast.images) != 1:
        return ""
    (test,) = contrast.images.values()
    found = f"{test.net:+d} net of {test.disagree} on which they disagree"
    return f"{found}; exact McNemar p {shown_p(test.p)}, which is about these two networks, not the method"


# Numbers


def shown_p(p: float) -> str:
    """Return a p-value as journals print it: ".008", "<.001"."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
