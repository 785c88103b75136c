"""A comparison in parts, of which `text.py` makes text, Markdown and HTML, and as CSV and JSON. Nothing is printed.

Two runs are laid out with one line per metric, three or more with one line per run. CSV and JSON hold values as on disk
(accuracies are fractions from 0 to 1); text and Markdown show percent.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict
from typing import Any

from dropout_lab.comparison import verdict as wording
from dropout_lab.comparison.compare import Comparison, Contrast
from dropout_lab.comparison.inference import Difference, Estimate, Interval
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.verdict import (
    about,
    advice,
    condition,
    differences,
    new_images,
    notes,
    overfitting,
    pairing,
    shown_p,
    verdicts,
)
from dropout_lab.storage import plain
from dropout_lab.text import Line, Parts, as_text, labelled

SCHEMA_VERSION = 2  # of the JSON; 1 knew no looks and no new images
FEW = 4  # candidates of whom all is said beside the verdicts
LABELS = ("seeds", "images", "overfit")
NARROWEST = 60  # columns of text
SAME = ("data", "dropout-lab", "torch", "device")  # what the line "same" names; JSON has all
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell of text that begins so


def to_text(comparison: Comparison, width: int = 100) -> str:
    """Return the comparison as plain text of at most `width` columns (60 or more), without a last newline."""
    return as_text(parts(comparison), max(width, NARROWEST))


def parts(comparison: Comparison) -> Parts:
    """Return what comes before any number, the table, what else was found, and the verdicts."""
    found: list[str | list[Line]] = [*conditions(comparison)]
    if len(comparison.contrasts) == 1:
        found += [metric_lines(comparison), *details(comparison.contrasts[0])]
    else:
        found += [run_lines(comparison), means(comparison)]
    found += [labelled("verdict", verdict) for verdict in verdicts(comparison)]
    return found + [labelled(label, text) for label, text in beside(comparison)]


def beside(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what is said beside the verdicts, each text with its label; of many candidates only JSON and CSV do."""
    several, found = len(comparison.contrasts) > 1, []
    for contrast in comparison.contrasts if len(comparison.contrasts) <= FEW else ():
        said = {
            "seeds": advice(contrast),
            "images": new_images(contrast) or wording.images(contrast),
            "overfit": overfitting(contrast),
        }
        found += [(label, f"{contrast.candidate.name}: " * several + text) for label, text in said.items() if text]
    return sorted(found, key=lambda one: LABELS.index(one[0]))


def to_csv(comparison: Comparison) -> str:
    """Return one row per candidate and metric. A text that a spreadsheet would run as a formula gets an apostrophe."""
    records = [csv_record(contrast, key) for contrast in comparison.contrasts for key in METRICS]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in record.items()} for record in records)
    return buffer.getvalue()


def to_json_dict(comparison: Comparison) -> dict[str, Any]:
    """Return all there is in the comparison as plain JSON values; NaN and infinities become None."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "metric": comparison.metric,
        "min_effect": comparison.min_effect,
        "same": comparison.same,
        "notes": list(notes(comparison)),
        "baseline": asdict(comparison.baseline),
        "candidates": [json_candidate(contrast) for contrast in comparison.contrasts],
    }
    return {key: plain(value) for key, value in found.items()}


# Text


def conditions(comparison: Comparison) -> list[str]:
    """Return what comes before any number: the runs, what differs, what is the same, what is left out."""
    said = [labelled("baseline", about(comparison.baseline))]
    for contrast in comparison.contrasts:
        candidate = labelled("candidate", f"{about(contrast.candidate)}, {pairing(contrast)}")
        several = len(comparison.contrasts) > 1
        said += [f"{candidate}; {differences(contrast)}"] if several else [candidate]
        said += [] if several else [labelled("differs", differences(contrast))]
    shared = [f"{key} {condition(key, comparison.same[key])}" for key in SAME if key in comparison.same]
    said += [labelled("same", ", ".join(shared))] if shared else []
    return said + [labelled("note", note) for note in notes(comparison)]


def details(contrast: Contrast) -> list[str]:
    """Return, for two runs, the differences by seed."""
    metric, row = METRICS[contrast.metric], contrast.row
    if not row or not row.per_seed:
        return []
    return [labelled("per seed", " ".join(metric.shown(gain, sign=True) for gain in row.per_seed.values()))]


def metric_lines(comparison: Comparison) -> list[Line]:
    """Return the table of two runs: a head, and one line per metric, the primary one first."""
    (contrast,) = comparison.contrasts
    keys = sorted(contrast.rows, key=lambda key: key != contrast.metric)
    lines = [(METRICS[key].label, mean_sd(key, contrast.rows[key].baseline), *figures(contrast, key)) for key in keys]
    return [("± is sd over seeds", "baseline", "candidate", *heads(comparison, "p")), *lines]


def run_lines(comparison: Comparison) -> list[Line]:
    """Return the table of three or more runs: a head, and one line per run for the primary metric."""
    key, estimate = comparison.metric, comparison.baseline.estimate(comparison.metric)
    first = comparison.baseline.name, mean_sd(key, estimate) if estimate else "-", "", "", "", "", ""
    lines = [(contrast.candidate.name, *figures(contrast, key)) for contrast in comparison.contrasts]
    return [(METRICS[key].label, "mean ±sd over seeds", *heads(comparison, "Holm p")), first, *lines]


def means(comparison: Comparison) -> list[Line]:
    """Return the means of the metrics that are not judged: one line per metric, one column per run."""
    sides = comparison.baseline, *(contrast.candidate for contrast in comparison.contrasts)
    lines: list[Line] = [("means, not judged", *(side.name for side in sides))]
    for key in METRICS:
        if key != comparison.metric:
            found = [side.estimate(key) for side in sides]
            lines.append((METRICS[key].label, *(METRICS[key].shown(own.mean) if own else "-" for own in found)))
    return lines


def heads(comparison: Comparison, p: str) -> Line:
    """Return the heads of the cells that `figures` makes, but for the first."""
    kinds = {"paired t" if contrast.common else "Welch t" for contrast in comparison.contrasts}
    return "diff", f"95% CI, {kinds.pop() if len(kinds) == 1 else 't'}", p, "n", ""


def figures(contrast: Contrast, key: str) -> Line:
    """Return a row's candidate, difference, interval, p, n, and for the primary metric the verdict."""
    row, primary = contrast.rows.get(key), key == contrast.metric
    word = "" if not primary else "no verdict" if contrast.verdict.word == "none" else contrast.verdict.word
    if row is None:
        return "-", "-", "-", "-", "0", word
    p = contrast.adjusted_p if primary and contrast.adjusted_p is not None else row.difference.p
    shift = short(METRICS[key].shown(row.difference.mean, sign=True))
    bounds = contrast.fixed_interval if primary else row.difference.interval  # of several candidates, simultaneous
    rest = interval(key, row.difference, bounds), "-" if p is None else shown_p(p), str(row.difference.n), word
    return mean_sd(key, row.candidate), shift, *rest


def mean_sd(key: str, estimate: Estimate) -> str:
    """Return "97.51 ±0.15", or the mean alone for one seed."""
    mean = short(METRICS[key].shown(estimate.mean))
    return mean if estimate.sd is None else f"{mean} ±{short(METRICS[key].shown(estimate.sd))}"


def interval(key: str, difference: Difference, bounds: Interval | None) -> str:
    """Return "[-0.52, -0.18]", or why there is no interval."""
    if bounds is None:
        return "all equal" if difference.all_equal else "-"
    return "[" + ", ".join(short(METRICS[key].shown(bound, sign=True)) for bound in bounds) + "]"


def short(number: str) -> str:
    """Return a number of four decimals without the zero before its point: "-.0080"."""
    return re.sub(r"^([+-]?)0(\.\d{4})$", r"\1\2", number)


# CSV and JSON


def csv_record(contrast: Contrast, key: str) -> dict[str, object]:
    """Return one row by column; None where there is nothing to say."""
    row, primary = contrast.rows.get(key), key == contrast.metric
    before, after, difference = (row.baseline, row.candidate, row.difference) if row else (None, None, None)
    bounds = contrast.interval if primary else difference.interval if difference else None
    fixed, crossed = contrast.fixed_interval if primary else None, contrast.crossed_interval if primary else None
    margin = contrast.more_seeds(contrast.min_effect) if primary and row and advice(contrast) else None
    return {
        "baseline": contrast.baseline.name,
        "candidate": contrast.candidate.name,
        "metric": key,
        "unit": stored_unit(key),
        "n": difference.n if difference else 0,
        "paired": bool(contrast.common),
        "baseline_mean": before and before.mean,
        "baseline_sd": before and before.sd,
        "candidate_mean": after and after.mean,
        "candidate_sd": after and after.sd,
        "difference": difference and difference.mean,
        "difference_sd": difference and difference.sd,
        **ends("", bounds),
        "p": difference and difference.p,
        "holm_p": contrast.adjusted_p if primary else None,
        "verdict": contrast.verdict.word if primary else None,
        "beyond_margin": contrast.verdict.beyond_margin if primary else None,
        "looked": contrast.looked if primary else None,
        **ends("fixed_", fixed),
        "new_images_verdict": contrast.crossed_verdict.word if primary else None,
        **ends("new_images_", crossed),
        "more_seeds_low": margin and margin.low,
        "more_seeds_high": margin and margin.high,
        "differs": differences(contrast),
    }


def ends(prefix: str, bounds: Interval | None) -> dict[str, float | None]:
    """Return the two columns of an interval."""
    low, high = bounds or (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}


def csv_cell(value: object) -> object:
    """Return a value as it may stand in a file that someone opens with a spreadsheet."""
    if not isinstance(value, str):
        return plain(value)
    return f"'{value}" if value.startswith(FORMULA) else value


def json_candidate(contrast: Contrast) -> dict[str, Any]:
    """Return one candidate with its rows, tests and verdict."""
    return {
        **asdict(contrast.candidate),
        "differs": contrast.differs,
        "environment": contrast.environment,
        "common_seeds": contrast.common,
        "metrics": {key: {"unit": stored_unit(key), **asdict(row)} for key, row in contrast.rows.items()},
        "missing": {key: missing for key in METRICS if (missing := contrast.missing(key))},
        "mcnemar": {seed: asdict(test) for seed, test in contrast.images.items()},
        "holm_p": contrast.adjusted_p,
        "verdict": {
            **asdict(contrast.verdict),
            "sentence": wording.sentence(contrast),
            "interval": contrast.interval,
            "first_look": contrast.first_look,
            "fixed_interval": contrast.fixed_interval,
            "looks": [asdict(look) for look in contrast.before],
            "more_seeds": advice(contrast) or None,
        },
        "new_images": contrast.crossed
        and {
            **asdict(contrast.crossed),
            "interval": contrast.crossed_interval,
            "verdict": asdict(contrast.crossed_verdict),
            "sentence": new_images(contrast) or None,
        },
        "overfitting": overfitting(contrast) or None,
    }


def stored_unit(key: str) -> str:
    """Return the unit of a metric's values as they are stored."""
    return "fraction" if METRICS[key].unit == "%" else METRICS[key].unit
