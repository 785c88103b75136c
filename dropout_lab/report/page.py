"""Shows runs and comparisons as one HTML page that needs no other file and no network. Trains nothing.

The same runs give the same bytes. templates/report.html is the page, and has everything without JavaScript but hiding,
zooming and sorting, which report.js adds. Here is what its sections show.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dropout_lab import pages
from dropout_lab.comparison.compare import Comparison, compare, measure, remember, surroundings, unlike
from dropout_lab.comparison.looks import Looks
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.tables import beside, mean_sd, metric_lines, run_lines
from dropout_lab.comparison.verdict import about, condition, differences, notes, verdicts
from dropout_lab.config.noted import UNKNOWN, Noted
from dropout_lab.config.resolve import to_yaml
from dropout_lab.config.settings import DataConfig
from dropout_lab.config.strict_yaml import written
from dropout_lab.data.datasets import test_images
from dropout_lab.errors import Problem, Refused
from dropout_lab.figures.plots import conditions
from dropout_lab.report.curves import curves, section
from dropout_lab.report.images import grey, hardest, picture
from dropout_lab.report.runs import Gathered, gather
from dropout_lab.runs.find import is_run
from dropout_lab.runs.read import Run
from dropout_lab.runs.summary import FinishedSeed
from dropout_lab.storage import atomic_write, make_directory, read_file
from dropout_lab.sweeps.judge import SweepTable, parts, sentence
from dropout_lab.text import Line, shown_seeds, unlabelled

PINNED = ("torch", "numpy")  # the packages whose versions decide the numbers


def write(paths: Sequence[Path], data_directory: Path, out: Path, looks: Looks | None = None) -> list[str]:
    """Write the page about the runs and sweeps in `paths`. Return a line for each problem that kept one off it.

    The verdicts on it are looks, and are noted in `looks`. Raises `Failed` where the page cannot be written.
    """
    looks = looks or Looks(None)
    gathered = gather(paths, looks)
    text = page(gathered, data_directory, looks)
    make_directory(out.parent)
    atomic_write(out, text.encode())
    return [str(problem) for problem in gathered.problems]


def page(gathered: Gathered, data_directory: Path, looks: Looks | None = None) -> str:
    """Return the page. It shows the hardest images if their data set is in `data_directory`."""
    shown, compared = gathered.runs, gathered.compared
    refused = [problem for run in compared[1:] for problem in unlike(compared[0], run)]
    alike = [run for run in compared if not unlike(compared[0], run)]
    comparison = compare(alike, looks=looks) if len(alike) > 1 else None
    if comparison and looks:
        remember(comparison, alike, looks)
    return pages.page(
        "report.html",
        pages.REPORT_SCRIPT,
        title=_title(gathered),
        **_verdict(comparison, refused, gathered),
        conditions=_conditions(gathered, comparison),
        comparison=_comparison(comparison, gathered.sweeps),
        **section([(run.name, curves(run)) for run in shown]),
        results=_results(shown),
        every_seed=_every_seed(shown),
        pairs=_pairs(comparison) if comparison else None,
        images=_images(shown, data_directory),
        **_environment(shown),
        **_reproduce(gathered),
    )


def _title(gathered: Gathered) -> str:
    shown = gathered.runs
    if len(gathered.sweeps) == 1 and not gathered.compared:
        return f"Sweep {gathered.sweeps[0].sweep.name}"
    if len(shown) < 3:
        return " against ".join(run.name for run in shown)
    return f"{shown[0].name} and {len(shown) - 1} other runs"


# What the sections of templates/report.html show


def _verdict(comparison: Comparison | None, refused: Sequence[Problem], gathered: Gathered) -> dict[str, Any]:
    contrasts = comparison.contrasts if comparison else ()
    words = [contrast.verdict.word for contrast in contrasts]
    return {
        "chosen": [f"Sweep {table.sweep.name}: {said}" for table in gathered.sweeps if (said := sentence(table))],
        "verdicts": list(zip(words, verdicts(comparison), strict=True)) if comparison else [],
        "beside": beside(comparison) if comparison else [],
        "notes": list(notes(comparison)) if comparison else [],
        "alone": not (comparison or refused or gathered.sweeps),
        "baseline": gathered.compared[0].name if refused else None,
        "unlike": list(map(str, refused)),
        "problems": list(map(str, gathered.problems)),
    }


def _conditions(gathered: Gathered, comparison: Comparison | None) -> list[Line]:
    apart = {run.path: "not compared" for run in gathered.compared[1:]}
    apart |= {run.path: "baseline" for run in gathered.compared[:1]}
    for contrast in comparison.contrasts if comparison else ():
        apart[Path(contrast.candidate.path)] = differences(contrast)
    for table in gathered.sweeps:
        for run, member in ((line.run, line.member) for line in table.lines if line.run):
            made = ", ".join(f"{key} {written(value)}" for key, value in member.settings.items())
            apart[run.path] = f"baseline: {made}" if member.is_baseline else made
    lines: list[Line] = [("run", "conditions", "epochs", "seeds", "diverged", "differs from its baseline", "directory")]
    for run in gathered.runs:
        epochs = "as logged" if isinstance(run.config, Noted) else str(run.config.training.epochs)
        seeds = shown_seeds(run.seeds), shown_seeds(run.diverged) or "none"
        lines.append((run.name, conditions(run), epochs, *seeds, apart[run.path], str(run.path)))
    return lines


def _comparison(comparison: Comparison | None, sweeps: Sequence[SweepTable]) -> list[tuple[str, str | list[Line]]]:
    """Return labelled texts, and tables with their captions."""
    shown: list[tuple[str, str | list[Line]]] = []
    for table in sweeps:
        name = f"sweep {table.sweep.name}"
        captions = iter((f"Every run of {name} against its own baseline", f"Two settings of {name}"))
        for part in parts(table):
            shown.append(unlabelled(part) if isinstance(part, str) else (next(captions), part))
    if comparison:
        several = len(comparison.contrasts) > 1
        candidates = "Every run" if several else f"Candidate {about(comparison.contrasts[0].candidate)}"
        head, *body = run_lines(comparison) if several else metric_lines(comparison)
        headed = (*head[:-1], "verdict")  # which needs no head on a terminal
        shown.append((f"{candidates} against baseline {about(comparison.baseline)}", [headed, *body]))
    return shown


def _results(shown: Sequence[Run]) -> list[Line]:
    lines: list[Line] = [("run", *(metric.label for metric in METRICS.values()))]
    for run in shown:
        side = measure(run)
        estimates = ((key, side.estimate(key)) for key in METRICS)
        lines.append((run.name, *(mean_sd(key, estimate) if estimate else "-" for key, estimate in estimates)))
    return lines


def _every_seed(shown: Sequence[Run]) -> list[Line]:
    keys = [key for key in METRICS if key != "seconds_per_epoch"]
    lines: list[Line] = [("run", "seed", "status", "best epoch", *(METRICS[key].label for key in keys))]
    for run in shown:
        values = {key: METRICS[key].finite(run) for key in keys}
        for seed in run.seeds:
            facts = run.summary.seeds[seed]
            best_epoch = str(facts.best_epoch) if isinstance(facts, FinishedSeed) else "-"
            cells = [METRICS[key].shown(values[key][seed]) if seed in values[key] else "-" for key in keys]
            lines.append((run.name, str(seed), facts.status, best_epoch, *cells))
    return lines


def _pairs(comparison: Comparison) -> tuple[str, list[Line]] | None:
    """Return the differences of the judged metric, pair by pair, below their caption; None where there is no pair."""
    metric = METRICS[comparison.metric]
    found = [(contrast.candidate.name, contrast.rows.get(comparison.metric)) for contrast in comparison.contrasts]
    compared = [(name, row.per_seed) for name, row in found if row]
    seeds = sorted({seed for _, by_seed in compared for seed in by_seed})
    if not seeds:
        return None
    lines = [
        (name, *(metric.shown_difference(by_seed[seed], sign=True) if seed in by_seed else "-" for seed in seeds))
        for name, by_seed in compared
    ]
    caption = f"Difference from the baseline in {metric.title}, pair by pair"
    return caption, [("run", *(f"seed {seed}" for seed in seeds)), *lines]


def _images(shown: Sequence[Run], directory: Path) -> list[dict[str, Any]]:
    """Return for each run its name, and its hardest images in two groups or why there are none."""
    known: dict[tuple[DataConfig, str], NDArray[np.uint8] | str] = {}

    def pixels(run: Run) -> NDArray[np.uint8] | str:
        if isinstance(run.config, Noted):
            return "The images cannot be shown: the run was imported, and its data are unknown."
        source = run.config.data, run.summary.data_sha256
        if source not in known:
            known[source] = _pixels(*source, directory)
        return known[source]

    return [{"run": run.name, **_hardest(run, pixels(run))} for run in shown]


def _pixels(data: DataConfig, sha256: str, directory: Path) -> NDArray[np.uint8] | str:
    """Return the test images as bytes, or why there are none to show."""
    try:
        images = test_images(data.dataset, directory, sha256, data.parts)
    except Refused as refused:
        return f"The images cannot be shown: {refused.problems[0]}"
    if images.ndim != 3:
        return f"The images cannot be shown: those of {data.dataset} are plain numbers, without a height and a width."
    return grey(images)


def _hardest(run: Run, pixels: NDArray[np.uint8] | str) -> dict[str, Any]:
    arrays = run.predictions()
    if not len(arrays["seeds"]) or not len(arrays["labels"]) or "probabilities" not in arrays:
        return {"note": "No network of this run has left probabilities.", "groups": ()}
    if not isinstance(pixels, str) and len(pixels) != len(arrays["labels"]):
        pixels = f"The images cannot be shown: there are {len(pixels)}, but {len(arrays['labels'])} predictions."
    missed, uncertain = (
        [(hard, None if isinstance(pixels, str) else picture(pixels[hard.number])) for hard in group]
        for group in hardest(arrays)
    )
    groups = ("Misclassified, most confident first", missed), ("Most uncertain first", uncertain)
    return {"note": pixels if isinstance(pixels, str) else "", "groups": groups}


def _environment(shown: Sequence[Run]) -> dict[str, list[Line]]:
    facts = [surroundings(run) for run in shown]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    shared = [key for key in keys if all(fact.get(key) == facts[0].get(key) for fact in facts)]
    apart = [key for key in keys if key not in shared]
    names = {"data": "data SHA-256", "git_commit": "commit"}
    lines: list[Line] = [("run", *(names.get(key, key) for key in apart), "training time s")]
    for run, fact in zip(shown, facts, strict=True):
        seconds = f"{sum(run.seconds.values()):.1f}" if run.seconds else UNKNOWN
        lines.append((run.name, *(condition(key, fact.get(key)) for key in apart), seconds))
    return {
        "shared": [("what", "value"), *((names.get(key, key), str(facts[0][key])) for key in shared)],
        "run_by_run": lines,
    }


def _reproduce(gathered: Gathered) -> dict[str, Any]:
    """Return the commands that train these runs again, and the files that the commands read, both as lines."""
    shown = gathered.runs
    first = shown[0].summary.environment
    versions = [f"{name}=={first[name]}" for name in PINNED if first.get(name)]
    lines = [f"git checkout {shlex.quote(str(first['git_commit']))}"] if first.get("git_commit") else []
    lines += [shlex.join(["pip", "install", "-e", ".", *versions])]
    for run in shown:
        if isinstance(run.config, Noted):
            lines.append(_import_command(run, run.config))
            continue
        spans = (span.partition("-") for span in shown_seeds(run.seeds).split(", "))
        seeds = ",".join(f"{low}..{high or low}" for low, _, high in spans)
        words = ["dropout-lab", "train", _file(run), "--name", run.path.name, "--seeds", seeds]
        lines.append(shlex.join([*words, *["--runs-dir", str(run.path.parent)] * (run.path.parent != Path("runs"))]))
    lines.append(shlex.join(["dropout-lab", "report", *map(str, gathered.sources)]))
    texts = {_file(run): to_yaml(run.config) for run in shown}
    planned = [path for path in gathered.sources if not is_run(path)]
    texts |= {f"{path}/sweep.yaml": read_file(path / "sweep.yaml").decode() for path in planned}
    # a quoted path may hold a line break
    commands = [part for line in lines for part in line.splitlines()]
    return {"commands": commands, "files": {name: text.splitlines() for name, text in texts.items()}}


def _import_command(run: Run, noted: Noted) -> str:
    """Return the command that imports the logs of a run again, with what was noted of it."""
    source = run.summary.imported
    words = ["dropout-lab", "import", run.path.name, *(source.files if source else ())]
    return shlex.join(
        words + [word for key, value in noted.conditions.items() for word in ("--set", f"{key}={written(value)}")]
    )


def _file(run: Run) -> str:
    """Return a name for the config file of a run, different for every run."""
    return run.name.replace("/", "_") + ".yaml"
