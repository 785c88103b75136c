"""What `plot` does: finished runs and sweeps drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dropout_lab.commands.compare import comparison_directory
from dropout_lab.commands.names import Options, each, inside, targets
from dropout_lab.commands.sweep import draw_sweep, sweep_directory
from dropout_lab.runs import read as runs
from dropout_lab.storage import make_directory


def redraw(names: Sequence[str], options: Options, form: str, style: str, size: str) -> list[Path]:
    """Draw finished runs and sweeps anew, in a format and a look of figures.py; return the pictures.

    Each run has its curves, and several have their comparison; a sweep has its one picture.
    """
    sweeps = {name: path for name in names if (path := sweep_directory(name, options))}
    jobs = targets([name for name in names if name not in sweeps], options, least=0)
    loaded = each(jobs, lambda job: runs.load(job.path))
    from dropout_lab.figures import plots
    from dropout_lab.figures import style as figures
    from dropout_lab.sweeps import judge as sweep_table

    swept = dict(zip(sweeps.values(), each(sweeps.values(), sweep_table.read), strict=True))

    with figures.look(style, size):
        pictures = {run.path / "curves": plots.curves(run) for run in loaded}
        if len(loaded) > 1:
            pictures[comparison_directory(jobs, options) / "curves"] = plots.comparison(loaded)
        pictures |= {path / "sweep": draw_sweep(table) for path, table in swept.items()}
        for path, figure in pictures.items():
            make_directory(inside(options.runs, path.parent))
            plots.save(figure, path.with_suffix(f".{form}"))
    return [path.with_suffix(f".{form}") for path in pictures]
