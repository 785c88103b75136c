"""Judge a sweep: compare each run with its baseline on test accuracy, and choose one on validation accuracy."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.compare import Contrast, contrasts, other_data, remember_pair, unlike
from dropout_lab.comparison.inference import Difference, Estimate
from dropout_lab.comparison.looks import Looks
from dropout_lab.comparison.metrics import METRICS, Metric
from dropout_lab.comparison.verdict import changed, new_images, shown_p
from dropout_lab.config.resolve import flatten
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import Refused
from dropout_lab.runs.read import Run, load
from dropout_lab.sweeps.files import read_seeds, read_sweep
from dropout_lab.sweeps.plan import RATE, Grid, Member, Same, Sweep, drops, shown
from dropout_lab.text import Line as Cells
from dropout_lab.text import Parts, as_text, count, cut, labelled

SCHEMA_VERSION = 2  # 1 had intervals that were not simultaneous
PRIMARY_KEY = "test_accuracy"
PRIMARY = METRICS[PRIMARY_KEY]
SELECTION = METRICS["val_accuracy"]  # the run with the best one is chosen: the same measure, on the validation split
MARKS = {"better": "+", "worse": "-", "equivalent": "=", "inconclusive": "~"}  # of the verdicts, in a table of text
WIDEST = 24  # characters of a value in the table of two settings
CSV_METRICS = ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "best_val_loss", "gap", "overfitting")


@dataclass(frozen=True)
class Line:
    """One line of the table: a run (None if unfinished), its accuracies, and its difference from the baseline."""

    member: Member
    run: Run | None
    diverged: int
    val: Estimate | None
    test: Estimate | None
    contrast: Contrast | None  # with the baseline, on test accuracy; None for a baseline

    @property
    def difference(self) -> Difference | None:
        """The difference from the baseline in test accuracy, paired by seed; None for a baseline."""
        return self.contrast.row.difference if self.contrast and self.contrast.row else None

    @property
    def p(self) -> float | None:
        """The p-value of the difference, adjusted by Holm's method over all lines."""
        adjusted = self.contrast.adjusted_p if self.contrast else None
        return adjusted if adjusted is not None or not self.difference else self.difference.p


@dataclass(frozen=True)
class Fair:
    """The best line with dropout against the best one without, each chosen on validation, so each at its best."""

    without: Line
    chosen: Line
    contrast: Contrast  # exploratory: of the runs that were chosen from


@dataclass(frozen=True)
class SweepTable:
    """The lines of a sweep, and the chosen line: it has the best mean validation accuracy at the last epoch.

    fair: best with dropout against best without; None unless there are several without to choose from.
    unlike: the settings in which the validation images of the runs differ; then none is chosen, and `fair` is None.
    """

    sweep: Sweep
    lines: tuple[Line, ...]
    chosen: Line | None
    fair: Fair | None = None
    unlike: tuple[str, ...] = ()

    @property
    def to_confirm(self) -> tuple[Member, Member] | None:
        """The pair that fresh seeds should compare: that of `fair`, else the chosen run and its baseline."""
        if self.fair:
            return self.fair.without.member, self.fair.chosen.member
        chosen = self.chosen and self.chosen.member
        if not chosen or chosen.baseline is None or chosen.is_baseline:
            return None
        return self.sweep.member(chosen.baseline), chosen

    @property
    def grid(self) -> Grid | None:
        """The runs over the two settings that vary; None unless exactly two vary."""
        return self.sweep.grid


def read(directory: Path, load: Callable[[Path], Run | None] = load, looks: Looks | None = None) -> SweepTable:
    """Return the table of the sweep in `directory`, over those of its finished runs that `load` returns.

    Of each run the seeds in sweep.csv count, so that those of a confirmation stay out; without that file, all seeds.
    Raises `Refused` where sweep.yaml or sweep.csv is not what `sweep` writes.
    """
    sweep = read_sweep(directory)
    seeds = read_seeds(directory, sweep)
    members: list[Member] = []
    runs: dict[str, Run] = {}
    for planned in sweep.runs:
        path = directory / planned.name
        if (path / "summary.json").exists() and (run := load(path)):
            flat = flatten(run.config)  # the run's own files are sealed, sweep.yaml is not: it only says what varies
            settings = {key: flat[key] for key in planned.settings if key in flat}
            members.append(Member(planned.name, settings, run.trained, planned.baseline))
            runs[planned.name] = run.only(seeds.get(planned.name, run.seeds))
    same = (Same(own.name, own.settings, own.same_as) for own in sweep.same if own.same_as in runs)
    return judge(Sweep(sweep.name, tuple(members), tuple(same)), runs, looks)


def judge(sweep: Sweep, runs: Mapping[str, Run], looks: Looks | None = None, *, sequential: bool = False) -> SweepTable:
    """Compare every run with its baseline on test accuracy, and choose the best run on validation accuracy.

    All comparisons are one family: p-values are adjusted by Holm's method, and intervals are simultaneous. `looks`
    remembers earlier verdicts. A run with a diverged seed is never chosen, and none is where runs validate on different
    images: the easiest images would win. Raises `Refused` for runs on different data under one name.
    """
    first: dict[str, Run] = {}  # by data set: pairs share theirs, but so must all runs that are chosen from
    mixed = [other_data(first.setdefault(run.trained.data.dataset, run), run) for run in runs.values()]
    if problems := [problem for found in mixed for problem in found]:
        raise Refused(*problems)
    judged = {member.name: member.baseline for member in sweep.members if not member.is_baseline}
    names = [(base, name) for name, base in judged.items() if base and {base, name} <= runs.keys()]
    pairs = [(runs[base], runs[name]) for base, name in names]
    found = contrasts(pairs, looks=looks, sequential=sequential, metrics=(PRIMARY_KEY,))
    by_name = {name: contrast for (_, name), contrast in zip(names, found, strict=True) if contrast.row}
    lines = tuple(_line(member, runs.get(member.name), by_name.get(member.name)) for member in sweep.members)
    loaded = [*runs.values()]
    if differing := sorted({problem.key for run in loaded[1:] for problem in unlike(loaded[0], run)}):
        return SweepTable(sweep, lines, None, unlike=tuple(differing))
    return SweepTable(sweep, lines, best(lines), _fair(lines))


def best(lines: Iterable[Line]) -> Line | None:
    """Return the line with the best mean validation accuracy, the first of equals; never one with a diverged seed."""
    candidates = [line for line in lines if line.val and not line.diverged]
    return max(candidates, key=lambda line: line.val.mean if line.val else 0.0, default=None)


def _fair(lines: Sequence[Line]) -> Fair | None:
    """Compare the best line with dropout with the best one without, if there are several without to choose from."""
    without = [line for line in lines if not drops(line.member.config)]
    chosen, base = best(line for line in lines if line not in without), best(without)
    if len(without) < 2 or not (chosen and base and chosen.run and base.run):
        return None
    (contrast,) = contrasts([(base.run, chosen.run)], metrics=(PRIMARY_KEY,))
    return Fair(base, chosen, contrast)


def remember(table: SweepTable, runs: Mapping[str, Run], looks: Looks) -> dict[str, object]:
    """Note in `looks` that the verdicts of the table are about to be shown, and return all looks at these pairs."""
    noted: dict[str, object] = {}
    for line in table.lines:
        base = runs.get(line.member.baseline or "")
        if line.contrast and line.run and base:
            noted[line.member.name] = remember_pair(line.contrast, base, line.run, looks)
    return noted


def _line(member: Member, run: Run | None, contrast: Contrast | None) -> Line:
    if run is None:
        return Line(member, None, 0, None, None, None)
    val, test = (_estimate(metric, run) for metric in (SELECTION, PRIMARY))
    return Line(member, run, len(run.diverged), val, test, contrast)


def _estimate(metric: Metric, run: Run) -> Estimate | None:
    values = list(metric.finite(run).values())
    return statistics.interval(values) if values else None


def to_text(result: SweepTable, width: int = 100) -> str:
    """Return the table and the choice, with its test accuracy, as plain text."""
    return as_text(parts(result, marks=True), width)


def parts(result: SweepTable, *, marks: bool = False) -> Parts:
    """Return what is shown of a sweep: its table, the choice and, if two settings vary, the table over both.

    Verdicts are words or, with `marks`, signs that are explained below the table.
    """
    head = ("run", "seeds", "val acc. %", "test acc. %", "diff pp [95% CI]", "Holm p", "" if marks else "verdict")
    body = []
    for line in result.lines:
        word = _verdict(line)
        name = ("> " if line is result.chosen else "  ") + line.member.name
        body.append((name, *_cells(line), MARKS.get(word, "") if marks else word))
        equal = [own.name for own in result.sweep.same if own.run == line.member.name]
        body += [(f"  {own}", "as above", "", "", "", "", "") for own in equal]
    about = f"{result.sweep.name}: {count(len(result.lines), 'run')}; ± is sd over seeds; last epoch"
    apart = [labelled("note", text) for text in made_apart(result)]
    found: list[str | list[Cells]] = [labelled("sweep", about), *apart, [head, *body]]
    if equal := [f"{own.name} is the same as {own.run}" for own in result.sweep.same]:
        found.append(labelled("same", f"{'; '.join(equal)}: equal networks, trained once"))
    if judged := [line.contrast for line in result.lines if line.contrast]:
        holm = f"Holm's p and simultaneous intervals over the family of {judged[0].family}"
        found.append(labelled("diff", f"test accuracy against the baseline, paired by seed; {holm}"))
        margin = f"by a margin of {PRIMARY.shown_difference(judged[0].min_effect)}"
        words = ", ".join(f"{mark} {word}" if marks else word for word, mark in MARKS.items())
        found.append(labelled("verdict", f"{words}, {margin}, on these test images"))
        if any(contrast.looked == "sequential" for contrast in judged):
            said = "seeds were added until a verdict was decided; the intervals hold whenever you stop"
            found.append(labelled("looks", said))
        again = [contrast for contrast in judged if contrast.looked == "later"]
        if before := sorted({len(look.seeds) for contrast in again for look in contrast.before}):
            which = "" if len(again) == len(judged) else f"{', '.join(one.candidate.name for one in again)}: "
            said = (
                f"{which}compared before at {', '.join(map(str, before))} seeds; the interval holds whenever you stop"
            )
            found.append(labelled("looks", said))
    if result.chosen and result.chosen.test:
        name, test = result.chosen.member.name, result.chosen.test
        found.append(labelled("chosen", f"on validation (>): {name}; its test accuracy is {_mean(test)} %"))
        if result.chosen.contrast and (said := new_images(result.chosen.contrast)):
            found.append(labelled("images", f"{name}: {said}"))
    if result.unlike:
        said = f"none: runs that differ in {' and '.join(result.unlike)} validate on different images"
        found.append(labelled("chosen", said))
    if result.fair:
        found.append(labelled("each best", fair_sentence(result.fair)))
    if cells := result.grid:
        found += [labelled("grid", f"{cells.keys[0]} down, {cells.keys[1]} across"), _crossed(result, cells)]
    return found


def made_apart(result: SweepTable) -> list[str]:
    """Return which runs were made with other code, versions or machines than their baseline, in words."""
    names: dict[str, list[str]] = {}
    for line in result.lines:
        if line.contrast and line.contrast.environment:
            names.setdefault(changed(line.contrast.environment), []).append(line.member.name)
    return [f"{', '.join(own)}: made otherwise than the baseline, {text}" for text, own in names.items()]


def fair_sentence(fair: Fair) -> str:
    """Return how the best run with dropout does against the best one without, in words."""
    row, pair = fair.contrast.row, f"{fair.chosen.member.name} against {fair.without.member.name}"
    interval = fair.contrast.fixed_interval
    gain = PRIMARY.shown_difference(row.difference.mean, sign=True) if row else "no difference"
    bounds = f" [{', '.join(PRIMARY.shown(bound, sign=True) for bound in interval)}]" if interval else ""
    return f"with dropout against without, each chosen on validation: {pair}, {gain}{bounds} on test; exploratory"


def sentence(result: SweepTable) -> str:
    """Return a sentence that says which run is chosen, and how it does on the test split; "" if none is."""
    line = result.chosen
    if line is None or line.test is None:
        return ""
    found = f"{line.member.name} is chosen on validation, with a test accuracy of {_mean(line.test)} %"
    if line.member.is_baseline or line.difference is None:
        return f"{found}; it is a baseline" if line.member.is_baseline else found
    return f"{found}: {_shown(line)} pp against its baseline, {_verdict(line) or 'no verdict'}"


def _crossed(result: SweepTable, cells: Grid) -> list[Cells]:
    """Return the mean test accuracies as a table over two settings."""
    shown = {
        line.member.name: "> " * (line is result.chosen) + PRIMARY.shown(line.test.mean)
        for line in result.lines
        if line.test
    }
    head = ("mean test acc. %", *(cut(column, WIDEST) for column in cells.columns))
    rows = [
        (cut(row, WIDEST), *(shown.get(cells.names.get((row, column), ""), "-") for column in cells.columns))
        for row in cells.rows
    ]
    return [head, *rows]


def _cells(line: Line) -> tuple[str, ...]:
    p = "" if line.p is None else shown_p(line.p)
    return _seeds(line), _mean(line.val), _mean(line.test), _shown(line), p


def _seeds(line: Line) -> str:
    """Return how many seeds finished and, if any diverged, how many did."""
    if line.run is None:
        return "unfinished"
    finished = len(line.run.seeds) - line.diverged
    return f"{finished} ok, {line.diverged} diverged" if line.diverged else f"{finished} ok"


def _verdict(line: Line) -> str:
    """Return the verdict in one word, as `compare` would give it; "" if there is none."""
    word = line.contrast.verdict.word if line.contrast else "none"
    return "" if word == "none" else word


def _mean(estimate: Estimate | None) -> str:
    return PRIMARY.shown_estimate(estimate) if estimate else "-"


def _shown(line: Line) -> str:
    if line.member.is_baseline:
        return "baseline"
    if line.difference is None:
        return "-"
    interval = line.contrast.interval if line.contrast else None
    bounds = ", ".join(PRIMARY.shown(bound, sign=True) for bound in interval or ())
    return PRIMARY.shown(line.difference.mean, sign=True) + (f" [{bounds}]" if bounds else "")


def to_csv(result: SweepTable) -> str:
    """Return sweep.csv: a line for each run and seed, with the settings that vary. Missing values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    keys = result.sweep.keys
    writer.writerow(["run", *keys, "seed", "status", *CSV_METRICS])
    for line in result.lines:
        if line.run is None:
            continue
        config = flatten(line.run.config)
        settings = [written(config[key]) for key in keys]
        values = [METRICS[name].finite(line.run) for name in CSV_METRICS]
        for seed in line.run.seeds:
            status = line.run.summary.seeds[seed].status
            writer.writerow([line.member.name, *settings, seed, status, *(value.get(seed, "") for value in values)])
    return buffer.getvalue()


def to_json_dict(result: SweepTable) -> dict[str, Any]:
    """Return the table as plain data, accuracies as fractions."""
    return {
        "schema_version": SCHEMA_VERSION,
        "sweep": result.sweep.name,
        "chosen": result.chosen and result.chosen.member.name,
        "same": [{"run": own.name, "settings": dict(own.settings), "same_as": own.run} for own in result.sweep.same],
        "each_best": result.fair
        and {
            "with": result.fair.chosen.member.name,
            "without": result.fair.without.member.name,
            "difference": result.fair.contrast.row and result.fair.contrast.row.difference.mean,
            "interval": result.fair.contrast.fixed_interval,
        },
        "runs": [
            {
                "run": line.member.name,
                "settings": dict(line.member.settings),
                "baseline": line.member.baseline,
                "seeds": line.run and list(line.run.seeds),
                "diverged": line.diverged,
                "val_accuracy": line.val and line.val.mean,
                "test_accuracy": line.test and line.test.mean,
                "test_accuracy_sd": line.test and line.test.sd,
                "difference": line.difference and line.difference.mean,
                "interval": line.contrast and line.contrast.interval,
                "fixed_interval": line.contrast and line.contrast.fixed_interval,
                "new_images_interval": line.contrast and line.contrast.crossed_interval,
                "holm_p": line.p,
                "verdict": _verdict(line) or None,
                "beyond_margin": line.contrast and line.contrast.verdict.beyond_margin,
                "first_look": line.contrast and line.contrast.first_look,
                "environment": line.contrast and line.contrast.environment,
            }
            for line in result.lines
        ],
    }


def points(result: SweepTable) -> tuple[str, list[tuple[float | str, Run]]]:
    """Return the title of a picture, and the finished runs with their places on its axis: their rates, or names.

    A name says the settings that vary, such as "gaussian, rate 0.2"; if it is not unique, it is the run's.
    """
    finished = [(line.member, line.run) for line in result.lines if line.run]
    keys = result.sweep.keys
    if keys == (RATE,) and all(isinstance(member.settings[RATE], int | float) for member, _ in finished):
        return "dropout rate", [(float(member.settings[RATE]), run) for member, run in finished]
    own = [member.settings for member, _ in finished]
    keys = tuple(dict.fromkeys(key for settings in sorted(own, key=len, reverse=True) for key in settings))
    varied = [key for key in keys if len({shown(settings.get(key)) for settings in own}) > 1] or keys
    names = [", ".join(_named(key, settings[key]) for key in varied if key in settings) for settings in own]
    if len({*names}) < len(names) or not all(names):
        names = [member.name for member, _ in finished]
    return " and ".join(varied), list(zip(names, (run for _, run in finished), strict=True))


def _named(key: str, value: object) -> str:
    """Return a setting as part of a name: a word alone says what it is, anything else needs its key."""
    return value if isinstance(value, str) else f"{key.rpartition('.')[2].replace('_', ' ')} {shown(value)}"


def chosen_point(result: SweepTable) -> float | str | None:
    """Return the place of the chosen run on the axis that `points` returns; None if no run is chosen."""
    return next((place for place, run in points(result)[1] if result.chosen and run is result.chosen.run), None)
