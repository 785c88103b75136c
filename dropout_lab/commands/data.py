"""What `data fetch`, `data verify` and `data where` do with data sets."""

from __future__ import annotations

from pathlib import Path

from dropout_lab.commands.result import Result
from dropout_lab.data import datasets
from dropout_lab.data.idx import FileReport
from dropout_lab.errors import Problem, Refused


def fetch(dataset: str, data_dir: Path | None = None) -> Result[Path]:
    """Download a data set where it is not there yet, verify it, and return its place."""
    place = datasets.fetch(dataset, datasets.directory(data_dir))
    return Result(place, lambda width: str(place))


def verify(dataset: str, data_dir: Path | None = None) -> Result[list[FileReport]]:
    """Check every file of a data set. Bad files are an error of the result."""
    reports = datasets.verify(dataset, datasets.directory(data_dir))
    lines = [f"{report.sha256 or '-':64}  {report.path}  {report.problem or 'ok'}" for report in reports]
    fix = f"; `dropout-lab data fetch {dataset}` downloads it" if dataset in datasets.DATASETS else ""
    bad = [
        Problem(str(report.path), dataset, f"{report.problem}{fix}", report.sha256 or "nothing")
        for report in reports
        if report.problem
    ]
    return Result(reports, lambda width: "\n".join(lines), error=Refused(*bad) if bad else None)


def where(data_dir: Path | None = None) -> Result[Path]:
    """Return the directory that data sets are kept in."""
    place = datasets.directory(data_dir)
    return Result(place, lambda width: str(place))
