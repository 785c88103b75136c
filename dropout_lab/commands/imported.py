"""What `import` does: the logs of another program, one a seed, become a run that is compared, listed and drawn."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dropout_lab.commands import listing
from dropout_lab.commands.names import Options, Where, inside
from dropout_lab.commands.plan import draw_curves
from dropout_lab.commands.result import Result
from dropout_lab.config.noted import Noted, noted
from dropout_lab.config.ranges import MAX_SEED, MAX_VALUES
from dropout_lab.config.settings import NAME_RULE, RUN_NAME
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.logs import columns, curve, predicted, read
from dropout_lab.logs.curve import Curve
from dropout_lab.logs.predicted import Predicted
from dropout_lab.runs.find import is_run
from dropout_lab.runs.imported import Logged, is_same, write_imported
from dropout_lab.runs.read import Run, load
from dropout_lab.runs.record import set_aside
from dropout_lab.runs.summary import Imported, read_summary

TOLERANCE = 0.002  # of an accuracy: some programs average it over batches of unequal size


def import_run(
    name: str,
    files: Sequence[Where],
    options: Options,
    *,
    column: Sequence[str] = (),
    seed_from: str | None = None,
    predictions: Sequence[Where] = (),
    conditions: Sequence[str] = (),
    percent: bool = False,
    fresh: bool = False,
) -> Result[Run]:
    """Make the run `name` of logs, one a seed; the same logs again change nothing.

    `column` says where a measure is, such as "val_loss=valid_loss"; `seed_from` is a regular expression that finds the
    seed in a path, else the files count from 0. `predictions` are files of labels and predictions, one for each log.
    `conditions` are noted, such as "dropout.rate=0.5". Raises `Refused` with every problem.
    """
    if not RUN_NAME.fullmatch(name):
        raise Refused(Problem("command line", "NAME", f"must be {NAME_RULE}", name))
    path = inside(options.runs, options.runs / name)
    told, noted_conditions = columns.parse(column), noted(conditions)
    logs = by_seed(files, seed_from, "FILE")
    logged = each(logs.values(), lambda file: _logged(file, told, percent))
    said = by_seed(predictions, seed_from, "--predictions")
    if said and said.keys() != logs.keys():
        reason = f"must be one for each of the {len(logs)} seeds of the logs"
        raise Refused(Problem("command line", "--predictions", reason, f"{len(said)} files"))
    found = dict(zip(said, each(said.values(), predicted.predicted), strict=True))
    curves = dict(zip(logs, (own for own, _ in logged), strict=True))
    check_predictions(found, curves)
    sources = [source for _, source in logged]
    whole = _together(sources, found)
    made = Logged(Noted(name, whole.kind, tuple(sorted(logs)), noted_conditions), curves, found, whole)
    if is_run(path) and not fresh and read_summary(path):
        run = load(path)
        if not is_same(run, made):
            reason = (
                "exists with other content; choose another name, or move it aside, as `dropout-lab import --fresh` does"
            )
            raise Refused(Problem(str(path), "name", reason, name))
    else:
        if fresh and is_run(path):
            set_aside(path)
        run = write_imported(path, made)
    draw_curves([run] if not (run.path / "curves.png").exists() else [], options.note)
    return replace(listing.as_result(run), error=None)  # a seed that diverged did so elsewhere: the import went well


def by_seed(files: Sequence[Where], seed_from: str | None, key: str) -> dict[int, Path]:
    """Return the files by seed, in order. Raises `Refused` for a path without a seed, and for two with the same."""
    if len(files) > MAX_VALUES:
        raise Refused(Problem("command line", key, f"must be at most {MAX_VALUES:,}", len(files)))
    paths = [at_home(file) for file in files]
    seeds = range(len(paths)) if seed_from is None else [_seed(path, seed_from) for path in paths]
    found: dict[int, Path] = {}
    for seed, path in zip(seeds, paths, strict=True):
        if seed in found:
            reason = f"has the seed {seed}, as {found[seed]} has; a seed is one training"
            raise Refused(Problem("command line", key, reason, str(path)))
        found[seed] = path
    return dict(sorted(found.items()))


def _seed(path: Path, pattern: str) -> int:
    """Return the seed in a path: the first group of a regular expression."""
    try:
        match = re.search(pattern, str(path))
        text = match[1] if match else ""
    except (re.error, IndexError) as error:
        reason = f"must be a regular expression with a group, such as 'seed(\\d+)': {error}"
        raise Refused(Problem("command line", "--seed-from", reason, pattern)) from None
    if not re.fullmatch("[0-9]{1,20}", text or "", re.ASCII) or int(text) > MAX_SEED:
        reason = f"must find a whole number from 0 to {MAX_SEED} in {path}"
        raise Refused(Problem("command line", "--seed-from", reason, pattern))
    return int(text)


def _logged(file: Path, told: Mapping[str, str], percent: bool) -> tuple[Curve, Imported]:
    log = read.read(file, told)
    found = curve.curve(log, told, percent=percent)
    return found, Imported(kind=log.kind, columns=dict(found.columns), files=dict(log.files))


def _together(sources: Sequence[Imported], said: Mapping[int, Predicted]) -> Imported:
    """Return what all logs are. Raises `Refused` for logs of several kinds or columns, and for one that is given twice.

    Two seeds with the same log would count one training twice.
    """
    first = sources[0]
    known: dict[str, str] = {}
    problems = []
    for source in sources:
        where = next(iter(source.files))
        if (source.kind, source.columns) != (first.kind, first.columns):
            reason = f"must have the columns of {next(iter(first.files))}: {', '.join(first.columns.values())}"
            problems.append(Problem(where, "columns", reason, ", ".join(source.columns.values())))
        for file, digest in source.files.items():
            if digest in known:
                reason = f"is the same as {known[digest]}: one training cannot count as two seeds"
                problems.append(Problem(where, "file", reason, os.path.basename(file)))
            known.setdefault(digest, file)
    if problems:
        raise Refused(*problems)
    files = {file: digest for source in sources for file, digest in source.files.items()}
    return Imported(
        kind=first.kind, columns=first.columns, files=files | {str(p.path): p.sha256 for p in said.values()}
    )


def check_predictions(said: Mapping[int, Predicted], curves: Mapping[int, Curve]) -> None:
    """Raise `Refused` where predictions are not of the same images, or not of the network that the log tested."""
    problems = []
    first = next(iter(said.values()), None)
    for seed, own in said.items():
        if first and own.labels != first.labels:
            reason = f"must have the labels of {first.path}, in the same order"
            problems.append(Problem(str(own.path), "label", reason, f"{len(own.labels)} lines"))
        logged = curves[seed].test.get("test_accuracy")
        if logged is not None and abs(logged - own.accuracy) > max(1 / len(own.labels), TOLERANCE):
            reason = f"must be those of the network whose test accuracy was logged, {logged:.4f}"
            problems.append(Problem(str(own.path), "prediction", reason, f"{own.accuracy:.4f}"))
    if problems:
        raise Refused(*problems)
