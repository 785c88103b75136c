"""What is asked of a run directory: a config with its seeds, against what is there already. No torch; reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.config import resolve as configs
from dropout_lab.config.resolve import Config, flatten
from dropout_lab.errors import Problem, Refused, shown
from dropout_lab.runs.find import is_run
from dropout_lab.runs.summary import check_hash, read_summary
from dropout_lab.storage import holder, in_use

FIRST = (".lock", ".config.yaml.*.tmp")  # all that is there where a new run's writer was killed at once


@dataclass(frozen=True)
class Job:
    """A run directory to bring up to date with a config, whose seeds are those asked for."""

    path: Path
    config: Config

    def missing(self) -> tuple[int, ...]:
        """Return the seeds asked for that are not finished; reads only.

        Raises `Refused` where `path` is no run directory, holds a run of another config, or is being written.
        """
        missing = self.unfinished()
        if missing and (process := holder(self.path)):
            raise in_use(self.path, process)
        return missing

    def unfinished(self) -> tuple[int, ...]:
        """Return the same to the one who is writing the directory."""
        refuse_foreign(self.path)
        if not is_run(self.path):
            return self.config.seeds
        summary = read_summary(self.path)
        done = there = tuple(summary.seeds) if summary else ()
        if summary:
            check_hash(self.path / "config.yaml", summary)
        if summary is None or summary.identity != self.config.identity:
            there = self._config_there().seeds  # slow: ten times all the rest, so only where the summary does not do
        missing = tuple(seed for seed in self.config.seeds if seed not in done)
        if missing:
            self.with_seeds(there)
        return missing

    def _config_there(self) -> Config:
        """Return the config of the run that exists. Raises `Refused` where it decides other numbers than this one."""
        there = configs.load(self.path / "config.yaml", check_files=False)
        if there.identity == self.config.identity:
            return there
        old, new = flatten(there), flatten(self.config)
        differing = [key for key in new if old[key] != new[key] and key not in ("name", "seeds", "device")]
        reason = "this run exists with another value ({}); use --name for a new run, or --fresh"
        raise Refused(*(Problem(str(self.path), key, reason.format(shown(old[key])), new[key]) for key in differing))

    def with_seeds(self, more: Iterable[int]) -> Config:
        """Return the config of the whole run, with `more` seeds. Raises `Refused` where it asks for too much."""
        name, seeds = self.path.name, sorted({*self.config.seeds, *more})
        mapping = self.config.model_dump(mode="json") | {"name": name, "seeds": seeds}
        return configs.resolve(mapping, where=str(self.path), name=name, check_files=False)


def refuse_foreign(path: Path) -> None:
    """Refuse a path at which there is something else than a run directory."""

    def ours(entry: Path) -> bool:
        return any(entry.match(pattern) for pattern in FIRST)

    try:
        free = is_run(path) or not path.exists() or (path.is_dir() and all(map(ours, path.iterdir())))
        places = path, path / "checkpoint", path / "tensorboard", *path.glob("tensorboard/*")
        link = any(place.is_symlink() for place in places)
    except OSError as error:
        raise Refused(Problem(str(path), "name", f"cannot be read: {error.strerror}", path.name)) from None
    if link or not free:
        raise Refused(Problem(str(path), "name", "exists and is not a run directory; use --name", path.name))
