"""What a command is given: its options, and the runs that its words name. No torch; reads, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dropout_lab import terminal
from dropout_lab.commands import tracking
from dropout_lab.config import resolve as configs
from dropout_lab.config.resolve import Config
from dropout_lab.config.strict_yaml import written
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution.this_machine import ThisMachine
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import find, is_run, is_sweep, named, state
from dropout_lab.runs.job import Job
from dropout_lab.runs.summary import read_summary

if TYPE_CHECKING:
    from dropout_lab.cluster.join import Cluster
    from dropout_lab.execution.execute import Place

SMOKE_IMAGES = 2000

Item = TypeVar("Item")
Result = TypeVar("Result")


def say_note(text: str) -> None:
    """Tell the person at the terminal what is worth knowing though the work goes on."""
    terminal.say(f"dropout-lab: note: {text}")


@dataclass(frozen=True)
class Options:
    """What every command that trains is told: where runs and data live, device, processes, lanes, how much to say.

    track: the tool to write events for while networks train. note: what is done with a remark. cluster: whose workers
    train, instead of this machine's processes.
    """

    runs: Path
    data: Path
    device: str | None = None
    jobs: int | None = None
    lanes: int | None = None
    quiet: bool = False
    fail_fast: bool = False
    track: str | None = None
    note: Callable[[str], None] = say_note
    cluster: Cluster | None = None

    @property
    def place(self) -> Place:
        """Where networks are trained. Only here is chosen between a cluster and this machine."""
        return self.cluster or ThisMachine(self.jobs)

    def __post_init__(self) -> None:
        check_directory("--runs-dir", self.runs)
        if self.track is not None:
            tracking.check(self.track)


def overrides(*, seeds: Sequence[int] | None, name: str | None = None, device: str | None = None) -> list[str]:
    """Return the command line's options as overrides of a config, so that one check finds every problem."""
    options = {"seeds": seeds and list(seeds), "name": name, "device": device}
    return [f"{key}={written(value)}" for key, value in options.items() if value is not None]


def smoke(config: Config) -> Config:
    """Return the config made small enough for a CI job: 1 epoch, 2 seeds, at most 2,000 training images, own name."""
    mapping = config.model_dump(mode="json")
    mapping |= {"name": f"{config.name[:58]}-smoke", "seeds": [0, 1]}
    mapping["training"]["epochs"] = 1
    count = data.dimensions(config.data.dataset).train
    if count * (1 - config.data.validation_fraction) > SMOKE_IMAGES:
        mapping["data"]["train_size"] = min(config.data.train_size or SMOKE_IMAGES, SMOKE_IMAGES)
    return configs.resolve(mapping, where="the smoke run", name=config.name)


def targets(
    texts: Sequence[str | Config], options: Options, changes: Sequence[str] = (), *, least: int = 1, small: bool = False
) -> list[Job]:
    """Return the jobs that `texts` are or name: configs, their files, run directories, names in the runs directory.

    Their configs are changed by the overrides `changes`, and made smoke runs if `small`. Raises `Refused` for each text
    that names nothing, for fewer than `least`, and where two name the same run.
    """
    jobs = each(texts, lambda text: target(text, options, changes))
    if small:
        made = [smoke(job.config) for job in jobs]
        jobs = [Job(options.runs / config.name, config) for config in made]
    if len(jobs) < least:
        raise Refused(Problem("command line", "runs", f"must be {least} or more", len(jobs)))
    paths = [job.path.resolve() for job in jobs]
    for number, job in enumerate(jobs):
        if paths[number] in paths[:number]:
            raise Refused(Problem("command line", "runs", "must be different ones", str(job.path)))
    return jobs


def target(text: str | Config, options: Options, changes: Sequence[str]) -> Job:
    """Return the job that one text names, or one config."""
    if isinstance(text, Config):
        config = configs.resolve(text.model_dump(mode="json"), changes, where="config", name=text.name)
        return Job(options.runs / config.name, config)
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):
        config = configs.load(path, changes)
        return Job(options.runs / config.name, config)
    for directory in (path, options.runs / path):
        if is_run(directory):
            return Job(directory, configs.load(directory / "config.yaml", changes, check_files=False))
    configs_here = [str(file) for file in Path("configs").glob("*.yaml")]
    raise _nobody(text, [*_runs(options), *configs_here], "run and no config file", options)


def sound(texts: Sequence[str], options: Options) -> tuple[list[str], list[Problem]]:
    """Return those of the runs to compare that are not damaged, and what is wrong with the others.

    Raises `Refused` where the first, which is the baseline, is damaged, or fewer than two are left.
    """
    good: list[str] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            here = next(filter(is_run, (Path(text), options.runs / text)), None)
            if here and read_summary(here):
                runs.load(here)
            elif here:
                configs.load(here / "config.yaml", check_files=False)
            good.append(text)
        except Refused as refused:
            problems += refused.problems
    if problems and (len(good) < 2 or texts[0] not in good):
        raise Refused(*problems)
    return good, problems


def recorded(texts: Sequence[str], options: Options) -> list[Path]:
    """Return the directories of the runs and sweeps that `texts` name, each once.

    Raises `Refused` for each text that names nothing, and for a sweep that has no finished run.
    """
    once: dict[Path, Path] = {}
    for path in each(texts, lambda text: _recorded(text, options)):
        once.setdefault(path.resolve(), path)
    return list(once.values())


def _recorded(text: str, options: Options) -> Path:
    for directory in (Path(text), options.runs / text):
        if is_run(directory):
            return directory
        if is_sweep(directory):
            if not any(is_run(path) and state(path) == "finished" for path in named(directory)):
                raise Refused(Problem("command line", "sweep", "has no finished run", text))
            return directory
    sweeps = [str(file.parent.relative_to(options.runs)) for file in options.runs.glob("*/sweep.yaml")]
    raise _nobody(text, [*_runs(options), *sweeps], "run and no sweep", options)


def _nobody(text: str, known: Sequence[str], kinds: str, options: Options) -> Refused:
    """Return the refusal of a text that names nothing, with the nearest name there is."""
    by_stem = {Path(name).stem: name for name in known} | {name: name for name in known}
    near = get_close_matches(text, by_stem, n=1)
    hint = f", did you mean {by_stem[near[0]]}?" if near else f"; `dropout-lab list` shows those in {options.runs}"
    return Refused(Problem("command line", "run", f"no {kinds} has this name{hint}", text))


def _runs(options: Options) -> list[str]:
    return [str(run.relative_to(options.runs)) for run in find(options.runs)]


def label(path: Path, options: Options) -> str:
    """Return what a run is called in the name of what is made of it: its path in the runs directory, as one name."""
    inside = path.is_relative_to(options.runs)
    return "_".join(path.relative_to(options.runs).parts) if inside else path.resolve().name


def check_directory(key: str, path: Path) -> None:
    """Refuse a path where no directory is nor can be made: a file is there or above it, or it cannot be looked at."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise Refused(Problem("command line", key, f"cannot be used: {error.strerror}", str(path))) from None
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    if there and not os.path.isdir(there):
        raise Refused(Problem("command line", key, f"must be a directory, but {there} is none", str(path)))


def check_page(key: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a page to write that is a directory, ends otherwise, or lies where no directory can be."""
    if path.suffix not in suffixes or os.path.isdir(path):
        raise Refused(Problem("command line", key, f"must be a file that ends in {' or '.join(suffixes)}", str(path)))
    check_directory(key, path.parent / "images" if path.suffix == ".md" else path.parent)  # a Markdown page's pictures


def inside(runs_directory: Path, path: Path) -> Path:
    """Return a path to write to. Refuses one in the runs directory that a link there leads out of."""
    place = runs_directory
    for part in path.relative_to(runs_directory).parts if path.is_relative_to(runs_directory) else ():
        place /= part
        if place.is_symlink():
            raise Refused(Problem(str(place), "name", "is a link, and nothing is written through it", place.name))
    return path


def each(items: Iterable[Item], check: Callable[[Item], Result]) -> list[Result]:
    """Return `check` of every item. Raises `Refused` with the problems of all items together."""
    results: list[Result] = []
    problems: list[Problem] = []
    for item in items:
        try:
            results.append(check(item))
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return results
