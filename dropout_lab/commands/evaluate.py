"""What `evaluate` does: whether a run can be evaluated, the evaluation, its files and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropout_lab import terminal
from dropout_lab.commands import names
from dropout_lab.commands.names import Look, Options, Where, inside, label, targets
from dropout_lab.commands.result import Result, unwritten
from dropout_lab.cost import TORCH
from dropout_lab.data import datasets as data
from dropout_lab.errors import MOVE_AWAY, Problem, Refused
from dropout_lab.execution import machine
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.storage import as_json, atomic_write, make_directory
from dropout_lab.text import as_markdown, as_text

if TYPE_CHECKING:
    from dropout_lab.evaluation.evaluate import Evaluation

FOLDER = "_evaluations"  # in the runs directory


def evaluate(
    named: Run | Where, samples: int, options: Options, look: Look, out: Where | None = None
) -> Result[Evaluation]:
    """Evaluate a finished run, and write evaluation.json, two CSV files and pictures: to `out`, if given.

    Otherwise they go to <runs>/_evaluations/<run>. Raises `Refused` where the run is not finished, none of its seeds
    is, or the data are not those that it was trained on.
    """
    place = names.directory("--out", out)
    (job,) = targets([named], options)
    (run,) = runs.told_apart([runs.load(job.path)])
    if len(run.diverged) == len(run.seeds):
        raise Refused(Problem(str(run.path), "seeds", "all diverged: there is no network to evaluate", len(run.seeds)))
    config = run.trained
    settings, dataset = config.data, config.data.dataset
    refuse_other_numbers(run)
    data.check(dataset, options.data, settings.parts)
    of = settings.size
    if (needed := TORCH + 4 * 4 * samples * of.test * of.classes * 2) > machine.available_memory():
        reason = f"needs about {needed / machine.GIB:.1f} GiB of memory, more than is free; average fewer passes"
        raise Refused(Problem("command line", "--samples", reason, samples))
    loaded = data.load(
        dataset, settings.scale, options.data, parts=settings.parts, draw=config.draw_of_numbers(run.seeds[0])
    )
    if loaded.sha256 != run.summary.data_sha256:
        reason = "has changed since the run was trained; to train on what it is now, " + MOVE_AWAY
        raise Refused(Problem(str(run.path), dataset, reason, loaded.sha256))
    from dropout_lab.evaluation import evaluate as evaluation
    from dropout_lab.evaluation import tables as evaluation_tables

    found = evaluation.evaluate(run, loaded, samples, lambda text: None if options.quiet else terminal.say(text))
    directory = place or inside(options.runs, options.runs / FOLDER / label(run.path, options))

    def files() -> None:
        make_directory(directory)
        atomic_write(directory / "evaluation.json", as_json(evaluation_tables.as_dict(found)).encode())
        atomic_write(directory / "scores.csv", evaluation_tables.scores_csv(found).encode())
        atomic_write(directory / "images.csv", evaluation_tables.images_csv(found).encode())

    def pictures() -> None:
        from dropout_lab.evaluation import figures as evaluation_figures
        from dropout_lab.figures import plots, style

        with style.look(look.style, look.size):
            for name, draw in evaluation_figures.FIGURES.items():
                if figure := draw(found):
                    plots.save(figure, directory / f"{name}.{look.form}")

    lost = unwritten(directory, files) or unwritten(directory, pictures)
    return Result(
        found,
        lambda width: as_text(evaluation_tables.parts(found), width),
        lambda: evaluation_tables.as_dict(found),
        markdown=lambda: as_markdown(evaluation_tables.parts(found)),
        written=f"{directory}: evaluation.json, scores.csv, images.csv and pictures",
        lost=lost,
    )


def refuse_other_numbers(run: Run) -> None:
    """Refuse a run whose images had other numbers than they would be given now: an earlier version scaled otherwise."""
    if run.outdated:
        reason = "was trained by an earlier version, which scaled such data otherwise; to train it anew, " + MOVE_AWAY
        raise Refused(Problem(str(run.path), "data.scale", reason, run.trained.data.scale))
    if len({run.trained.draw_of_numbers(seed) for seed in run.seeds}) > 1:
        reason = (
            "gives every seed numbers of its own here, and evaluate reads one data set; use validation_from stratified"
        )
        raise Refused(Problem(str(run.path), "data.scale", reason, run.trained.data.scale))
