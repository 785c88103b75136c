"""What `report` does: one HTML page about runs and sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dropout_lab.commands.names import Options, check_page, recorded
from dropout_lab.commands.result import Result, failed
from dropout_lab.comparison.looks import Looks
from dropout_lab.data.datasets import at_home


def report(names: Sequence[str], out: Path, options: Options) -> Result[Path]:
    """Write the page `out`; the first run is the baseline. Runs that could not be shown are an error of the result."""
    out = at_home(out)
    check_page("--out", out, (".html",))
    directories = recorded(names, options)
    from dropout_lab.report import page

    looks = Looks(options.runs)
    problems = page.write(directories, options.data, out, looks)
    for line in looks.lost:
        options.note(line)
    return Result(out, written=str(out), error=failed(problems))
