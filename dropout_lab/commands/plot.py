"""What `plot` does: finished runs and sweeps drawn anew, or drawn for Python."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.compare import comparison_directory
from dropout_lab.commands.names import Look, Options, Where, directory, inside, targets, with_finished_run
from dropout_lab.commands.result import Result, unwritten
from dropout_lab.commands.swept import draw_sweep, sweep_directory
from dropout_lab.comparison.compare import Comparison, unlike
from dropout_lab.comparison.looks import Looks
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import each
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.storage import make_directory
from dropout_lab.sweeps.judge import SweepTable, read

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(names: Sequence[str], options: Options, look: Look, out: Where | None = None) -> Result[list[Path]]:
    """Draw finished runs and sweeps anew, and return the pictures that could be written.

    Each run has its curves, and several have their comparison, unless they cannot be compared, which is noted; a sweep
    has its one picture. They lie beside what they show or, with `out`, in this directory, each under the name of what
    it shows.
    """
    place = directory("--out", out)
    sweeps = {name: path for name in names if (path := sweep_directory(name, options))}
    jobs = targets([name for name in names if name not in sweeps], options, least=0)
    loaded = runs.told_apart(each(jobs, lambda job: runs.load(job.path)))
    looks = Looks(options.runs)
    tables = each(sweeps.values(), lambda path: read(with_finished_run(path), looks=looks))
    swept = dict(zip(sweeps.values(), tables, strict=True))
    from dropout_lab.figures import plots
    from dropout_lab.figures import style as figures

    with figures.look(look.style, look.size):
        pictures = {
            run.path / "curves": (run.name.replace("/", "_"), plots.curves(*runs.told_apart([run]))) for run in loaded
        }
        apart = [problem for run in loaded[1:] for problem in unlike(loaded[0], run)]
        for problem in apart:
            options.note(f"not drawn together: {problem}")
        if len(loaded) > 1 and not apart:
            together = comparison_directory(jobs, options)
            pictures[together / "curves"] = together.name, plots.comparison(loaded)
        pictures |= {path / "sweep": (path.name, draw_sweep(table)) for path, table in swept.items()}
        drawn: list[Path] = []
        lost: list[str] = []
        for beside, (name, figure) in pictures.items():
            file = Path(f"{_free(place / name, drawn) if place else beside}.{look.form}")
            folder = place or inside(options.runs, file.parent)
            failed = unwritten(folder, partial(make_directory, folder)) or unwritten(
                file, partial(plots.save, figure, file)
            )
            lost += failed
            drawn += [file] * (not failed)
    return Result(drawn, lambda width: "\n".join(map(str, drawn)), lost=lost)


def _free(path: Path, taken: Sequence[Path]) -> Path:
    """Return `path`, or the first of `path`-2, `path`-3, ... that is the name of no picture yet."""
    names = {file.stem for file in taken}
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], numbered) if free.name not in names)


def draw(what: Comparison | SweepTable | Sequence[Run | Where]) -> Figure:
    """Return the picture of a comparison, of a sweep, or of runs: one run's curves, or those of several together."""
    if isinstance(what, SweepTable):
        return draw_sweep(what)
    from dropout_lab.figures import plots

    if isinstance(what, Comparison):
        sides = [what.baseline, *(contrast.candidate for contrast in what.contrasts)]
        return plots.comparison(runs.told_apart([runs.load(Path(side.path)).only(side.seeds) for side in sides]))
    loaded = runs.told_apart(each(what, lambda run: run if isinstance(run, Run) else runs.load(at_home(run))))
    return plots.curves(loaded[0]) if len(loaded) == 1 else plots.comparison(loaded)
