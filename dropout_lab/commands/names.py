"""What a command is given: its options, and the runs and configs that it names. No torch; it only reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dropout_lab import terminal
from dropout_lab.commands import tracking
from dropout_lab.commands.result import Audience
from dropout_lab.config import resolve as configs
from dropout_lab.config import shipped
from dropout_lab.config.noted import IMPORTED
from dropout_lab.config.ranges import parse_seeds
from dropout_lab.config.settings import Config
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.execution.layout import ThisMachine
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import find, is_run, is_sweep, state
from dropout_lab.runs.job import Imported, Job, Target
from dropout_lab.runs.read import Run, config_of
from dropout_lab.runs.summary import read_summary
from dropout_lab.storage import sha256
from dropout_lab.sweeps.files import read_sweep
from dropout_lab.text import shortened

if TYPE_CHECKING:
    from dropout_lab.cluster.join import Cluster

SMOKE_IMAGES = 2000
SMOKE_NAME = 58  # characters of a name before "-smoke"
UNNAMED = "experiment"  # the run of a config that has neither a name nor a file

Where = str | Path
Configured = Where | Mapping[str, object] | Config  # a config file, its content, or a resolved config
Named = Configured | Run  # and a run, its directory, or its name in the runs directory
Seeds = int | str | Iterable[int]  # 5 means the seeds 0 to 4; so do "0..4" and range(5)


def say_note(text: str) -> None:
    """Say a remark on stderr; the work goes on."""
    terminal.say(f"dropout-lab: note: {text}")


@dataclass(frozen=True)
class Options:
    """What commands share: where runs and data live, what is changed of a config, how to train, how much to say.

    smoke: make each run small enough for a CI job. track: the tool to write events for while networks train. wait: for
    a run that another process is writing. note: takes a remark. audience: takes plans and early results. cluster: whose
    workers train, instead of this machine's processes. lost: a line for each file beside the runs that could not be
    written, to be said after the result.
    """

    runs: Path
    data: Path
    device: str | None = None
    seeds: tuple[int, ...] | None = None
    name: str | None = None
    smoke: bool = False
    jobs: int | None = None
    lanes: int | None = None
    quiet: bool = False
    live: bool = False  # draw charts in the terminal while networks train
    live_page: Path | None = None  # show the curves on this page while networks train
    fail_fast: bool = False
    track: str | None = None
    wait: bool = False
    note: Callable[[str], None] = say_note
    audience: Audience = Audience()
    cluster: Cluster | None = None
    lost: list[str] = field(default_factory=list)

    @property
    def place(self) -> Cluster | ThisMachine:
        """Where networks are trained. Only here is chosen between a cluster and this machine."""
        return self.cluster or ThisMachine(self.jobs, guest=not self.audience.typed)

    def __post_init__(self) -> None:
        check_directory("--runs-dir", self.runs)
        if self.live_page is not None:
            check_page("--live-page", self.live_page, (".html",))
        if self.track is not None:
            tracking.check(self.track)

    @property
    def changes(self) -> dict[str, object]:
        """The options that are values of a config, so that one check finds every problem."""
        given = {"seeds": self.seeds, "name": self.name, "device": self.device}
        return {key: value for key, value in given.items() if value is not None}


class Look(NamedTuple):
    """What pictures look like: the format of their files, and the style and size of figures/style.py."""

    form: str = "png"
    style: str = "light"
    size: str = "page"


def options(
    runs_dir: Where, data_dir: Where | None = None, device: str | None = None, seeds: Seeds | None = None, **more: Any
) -> Options:
    """Return the options, with directories found and seeds read. Refuses seeds for a smoke run, which has its own."""
    place = data.directory(None if data_dir is None else data.at_home(data_dir))
    if more.get("smoke") and seeds is not None:
        raise Refused(Problem("command line", "--seeds", "must be left out: a smoke run has the seeds 0 and 1", seeds))
    chosen = parse_seeds(str(seeds)) if isinstance(seeds, int | str) else None if seeds is None else tuple(seeds)
    if page := more.get("live_page"):
        more["live_page"] = data.at_home(page)
    return Options(data.at_home(runs_dir), place, device, chosen, **more)


def config(given: Configured, words: Sequence[str] = (), values: Mapping[str, object] = configs.NONE) -> Config:
    """Return the config that is given, changed by KEY=VALUE words and then by values."""
    if isinstance(given, str | Path):
        return configs.load(Path(given), words, values)
    mapping, name = (given.model_dump(mode="json"), given.name) if isinstance(given, Config) else (given, UNNAMED)
    return configs.resolve(mapping, words, values, where="config", name=name)


def smoke(config: Config) -> Config:
    """Return the config made small enough for a CI job: 1 epoch, 2 seeds, at most 2,000 training images, own name."""
    mapping = config.model_dump(mode="json")
    short = config.name if len(config.name) <= SMOKE_NAME else shortened(config.name, config.identity[:8], SMOKE_NAME)
    mapping |= {"name": f"{short}-smoke", "seeds": [0, 1]}
    mapping["training"]["epochs"] = 1
    if config.data.training_images > SMOKE_IMAGES:
        mapping["data"]["train_size"] = SMOKE_IMAGES
    return configs.resolve(mapping, where="the smoke run", name=config.name)


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that name runs or configs, and the overrides: words with "=" that are the path of nothing."""
    overrides = [word for word in words if "=" in word and not os.path.lexists(word)]
    return [word for word in words if word not in overrides], overrides


def targets(
    named: Sequence[Named],
    options: Options,
    changes: Mapping[str, object] = configs.NONE,
    *,
    words: Sequence[str] = (),
    least: int = 1,
) -> list[Target]:
    """Return a job for each run, run directory, name in the runs directory, config and config file.

    Their configs are changed by the overrides `words`, then by the values `changes`, and made smoke runs if the options
    say so. Raises `Refused` for each text that names nothing, for fewer than `least` jobs, and if two of them are the
    same run.
    """
    jobs = each(named, lambda given: target(given, options, words, changes))
    if options.smoke:
        made = [smoke(job.config) for job in trainable(jobs, "--smoke")]
        jobs = [Job(options.runs / config.name, config) for config in made]
    if len(jobs) < least:
        raise Refused(Problem("command line", "runs", f"must be {least} or more", len(jobs)))
    paths = [job.path.resolve() for job in jobs]
    for number, job in enumerate(jobs):
        if paths[number] in paths[:number]:
            raise Refused(Problem("command line", "runs", "must be different ones", str(job.path)))
    return jobs


def target(given: Named, options: Options, words: Sequence[str], changes: Mapping[str, object]) -> Target:
    """Return the job of one run, name or config; a finished run whose config would change is refused when planned.

    A path comes before the name of a run, and that before the name of a config that comes with the package.
    """
    path = given.path if isinstance(given, Run) else data.at_home(given) if isinstance(given, str | Path) else given
    if isinstance(path, Path) and _holder(path):
        raise _nobody(str(path), [], "run and no config", options)
    if not isinstance(path, Path) or path.suffix in (".yaml", ".yml") or os.path.isfile(path):
        asked = config(path, words, changes)
        return Job(options.runs / asked.name, asked)
    for directory in (path, options.runs / path):
        if is_run(directory):
            return _recorded_target(directory, options, words, changes)
    if shipped.file(str(path)):
        asked = config(path, words, changes)
        return Job(options.runs / asked.name, asked)
    configs_here = [*shipped.names(), *map(str, Path("configs").glob("*.yaml"))]
    raise _nobody(str(path), [*_runs(options), *configs_here], "run and no config", options)


def _recorded_target(directory: Path, options: Options, words: Sequence[str], changes: Mapping[str, object]) -> Target:
    """Return a run directory's target; nothing of a run that was imported can be changed, but some seeds left out."""
    noted = config_of(directory)
    if isinstance(noted, Config):
        return Job(directory, configs.load(directory / "config.yaml", words, changes, check_files=False))
    if options.smoke or words:
        value = "--smoke" if options.smoke else words[0]
        raise Refused(Problem(str(directory), "imported", f"{IMPORTED}; leave this out", value))
    run = Imported(directory, noted)
    return run.with_seeds(options.seeds) if options.seeds else run


def trainable(jobs: Sequence[Target], option: str) -> list[Job]:
    """Return the same jobs. Raises `Refused` for runs that were imported, which `option` would train."""
    found = [job for job in jobs if isinstance(job, Job)]
    if imported := [job for job in jobs if isinstance(job, Imported)]:
        raise Refused(*(Problem(str(job.path), option, IMPORTED, job.path.name) for job in imported))
    return found


def _holder(path: Path) -> Path | None:
    """Return the run or the sweep that a file belongs to, such as weights of a network; None for a YAML file."""
    if path.suffix in (".yaml", ".yml") or not os.path.isfile(path):
        return None
    return next((above for above in path.parents if is_run(above) or (above / "sweep.yaml").is_file()), None)


def sound(texts: Sequence[str], options: Options) -> tuple[list[str], list[Problem]]:
    """Return the runs that are not damaged, and what is wrong with the others.

    Raises `Refused` if the first run, the baseline, is damaged, or if fewer than two are left.
    """
    good: list[str] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            here = next(filter(is_run, (data.at_home(text), options.runs / text)), None)
            if here and read_summary(here):
                runs.load(here)
            elif here:
                config_of(here)
            good.append(text)
        except Refused as refused:
            problems += refused.problems
    if problems and (len(good) < 2 or texts[0] not in good):
        raise Refused(*problems)
    return good, problems


def recorded(texts: Sequence[str], options: Options) -> list[Path]:
    """Return the directories of the runs and sweeps that `texts` name, each once.

    Raises `Refused` for each text that names nothing, and for a sweep without a finished run.
    """
    once: dict[Path, Path] = {}
    for path in each(texts, lambda text: _recorded(text, options)):
        once.setdefault(path.resolve(), path)
    return list(once.values())


def _recorded(text: str, options: Options) -> Path:
    for directory in (data.at_home(text), options.runs / text):
        if is_run(directory):
            return directory
        if is_sweep(directory):
            return with_finished_run(directory)
    sweeps = [str(file.parent.relative_to(options.runs)) for file in options.runs.glob("*/sweep.yaml")]
    raise _nobody(text, [*_runs(options), *sweeps], "run and no sweep", options)


def with_finished_run(directory: Path) -> Path:
    """Return the directory of a sweep. Refuses it if none of the runs in its sweep.yaml is finished."""
    paths = (directory / run.name for run in read_sweep(directory).runs)
    if any(is_run(path) and state(path) == "finished" for path in paths):
        return directory
    raise Refused(Problem(str(directory), "sweep", "has no finished run; run the sweep again to go on", directory.name))


def _nobody(text: str, known: Sequence[str], kinds: str, options: Options) -> Refused:
    """Return the refusal of a text that names nothing, with the nearest name there is, or what it is a file of."""
    if above := _holder(Path(text)):
        return Refused(Problem("command line", "run", f"is a file of {above}: name that", text))
    by_stem = {Path(name).stem: name for name in known} | {name: name for name in known}
    near = get_close_matches(text, by_stem, n=1)
    hint = f", did you mean {by_stem[near[0]]}?" if near else f"; `dropout-lab list` shows those in {options.runs}"
    return Refused(Problem("command line", "run", f"no {kinds} has this name{hint}", text))


def _runs(options: Options) -> list[str]:
    return [str(run.relative_to(options.runs)) for run in find(options.runs)]


def label(path: Path, options: Options) -> str:
    """Return a run's path in the runs directory as one word, for the names of files about it: a/b is a_b.

    No two runs have one word: that of a run elsewhere, or where there is a run called a_b too, ends with a digest.
    """
    place, runs_here = path.resolve(), options.runs.resolve()
    if not place.is_relative_to(runs_here):
        return f"{place.name}-{sha256(os.fsencode(place))[:8]}"
    parts = place.relative_to(runs_here).parts
    word = "_".join(parts)
    taken = len(parts) > 1 and is_run(options.runs / word)
    return f"{word}-{sha256('/'.join(parts).encode(errors='backslashreplace'))[:8]}" if taken else word


def check_directory(key: str, path: Path) -> None:
    """Refuse a path that is no directory and cannot become one, because a file is there or above it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise Refused(Problem("command line", key, f"cannot be used: {error.strerror}", str(path))) from None
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    if there and not os.path.isdir(there):
        raise Refused(Problem("command line", key, f"must be a directory, but {there} is none", str(path)))


def directory(key: str, given: Where | None) -> Path | None:
    """Return the directory that is given for files; None where none is. Refuses a path that cannot become one."""
    if given is None:
        return None
    place = data.at_home(given)
    check_directory(key, place)
    return place


def check_page(key: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a page to write if it is a directory, has another suffix, or its directory cannot be made."""
    if path.suffix not in suffixes or os.path.isdir(path):
        raise Refused(Problem("command line", key, f"must be a file that ends in {' or '.join(suffixes)}", str(path)))
    check_directory(key, path.parent / "images" if path.suffix == ".md" else path.parent)  # a Markdown page's pictures


def inside(runs_directory: Path, path: Path) -> Path:
    """Return `path`, which will be written to. Refuses it if a link in the runs directory is on the way."""
    place = runs_directory
    for part in path.relative_to(runs_directory).parts if path.is_relative_to(runs_directory) else ():
        place /= part
        if place.is_symlink():
            raise Refused(Problem(str(place), "name", "is a link, and nothing is written through it", place.name))
    return path


def whole_number(option: str, value: object, low: int, high: int) -> int:
    """Return the value of an option, for Python may give anything. Refuses all but whole numbers from low to high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(Problem("command line", option, f"must be a whole number from {low} to {high}", value))
    return value
