"""What `plot` does: finished runs and sweeps drawn anew, or drawn for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.compare import comparison_directory
from dropout_lab.commands.names import Look, Options, Where, inside, targets, with_finished_run
from dropout_lab.commands.result import Result
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


def plot(names: Sequence[str], options: Options, look: Look) -> Result[list[Path]]:
    """Draw finished runs and sweeps anew, and return the pictures.

    Each run has its curves, and several have their comparison, unless they cannot be compared, which is noted; a sweep
    has its one picture.
    """
    sweeps = {name: path for name in names if (path := sweep_directory(name, options))}
    jobs = targets([name for name in names if name not in sweeps], options, least=0)
    loaded = runs.told_apart(each(jobs, lambda job: runs.load(job.path)))
    looks = Looks(options.runs)
    tables = each(sweeps.values(), lambda path: read(with_finished_run(path), looks=looks))
    swept = dict(zip(sweeps.values(), tables, strict=True))
    from dropout_lab.figures import plots
    from dropout_lab.figures import style as figures

    with figures.look(look.style, look.size):
        pictures = {run.path / "curves": plots.curves(*runs.told_apart([run])) for run in loaded}
        apart = [problem for run in loaded[1:] for problem in unlike(loaded[0], run)]
        for problem in apart:
            options.note(f"not drawn together: {problem}")
        if len(loaded) > 1 and not apart:
            pictures[comparison_directory(jobs, options) / "curves"] = plots.comparison(loaded)
        pictures |= {path / "sweep": draw_sweep(table) for path, table in swept.items()}
        for path, figure in pictures.items():
            make_directory(inside(options.runs, path.parent))
            plots.save(figure, path.with_suffix(f".{look.form}"))
    drawn = [path.with_suffix(f".{look.form}") for path in pictures]
    return Result(drawn, lambda width: "\n".join(map(str, drawn)))


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
