"""A job: a run directory, the config and seeds asked of it, and which of these seeds it lacks. No torch; reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dropout_lab.config import resolve as configs
from dropout_lab.config.noted import Noted
from dropout_lab.config.settings import Config
from dropout_lab.errors import MOVE_AWAY, Problem, Refused, shown
from dropout_lab.runs.find import is_run
from dropout_lab.runs.summary import check_hash, read_summary
from dropout_lab.storage import holder, in_use
from dropout_lab.text import shown_seeds

FIRST = (".lock", ".config.yaml.*.tmp")  # all that a directory holds if the writer of a new run was killed at once


@dataclass(frozen=True)
class Job:
    """A run directory to bring up to date with a config, whose seeds are those asked for."""

    path: Path
    config: Config

    def missing(self) -> tuple[int, ...]:
        """Return the seeds asked for that are not finished.

        Raises `Refused` if `path` is no run directory, holds a run of another config, or lacks seeds while another
        process is writing it.
        """
        missing = self.unfinished()
        if missing and (process := holder(self.path)):
            raise in_use(self.path, process)
        return missing

    def unfinished(self) -> tuple[int, ...]:
        """Return what `missing` returns, also to the process that is writing the directory."""
        refuse_foreign(self.path)
        if not is_run(self.path):
            return self.config.seeds
        summary = read_summary(self.path)
        done = recorded = tuple(summary.seeds) if summary else ()
        if summary:
            check_hash(self.path / "config.yaml", summary)
        if summary is None or summary.identity != self.config.lasting_identity:
            recorded = self._recorded_config().seeds  # ten times slower than the rest: only if the summary cannot tell
        missing = tuple(seed for seed in self.config.seeds if seed not in done)
        if missing and summary and summary.identity != self.config.lasting_identity:
            reason = f"meant other numbers when this run was trained; {MOVE_AWAY}"
            raise Refused(Problem(str(self.path), "data.scale", reason, self.config.data.scale))
        if missing:
            self.with_seeds(recorded)
        return missing

    def _recorded_config(self) -> Config:
        """Return the config of the run that exists. Raises `Refused` if it has another identity than the job's."""
        recorded = configs.load(self.path / "config.yaml", check_files=False)
        if recorded.lasting_identity == self.config.lasting_identity:
            return recorded
        old, new = configs.flatten(recorded), configs.flatten(self.config)
        if os.path.basename(recorded.data.dataset) == os.path.basename(self.config.data.dataset):
            old["data.dataset"] = new["data.dataset"]  # the digest tells files of one name apart
        differing = [key for key in new if old[key] != new[key] and key not in ("name", "seeds", "device")]
        reason = "this run exists with another value ({}); choose another name, or " + MOVE_AWAY
        raise Refused(*(Problem(str(self.path), key, reason.format(shown(old[key])), new[key]) for key in differing))

    def with_seeds(self, more: Iterable[int]) -> Config:
        """Return the config of the whole run: the job's, with `more` seeds. Raises `Refused` if these are too many."""
        name, seeds = self.path.name, sorted({*self.config.seeds, *more})
        mapping = self.config.model_dump(mode="json") | {"name": name, "seeds": seeds}
        return configs.resolve(mapping, where=str(self.path), name=name, check_files=False)


@dataclass(frozen=True)
class Imported:
    """The directory of a run that was imported, what was noted of it, and the seeds asked for. It cannot be trained."""

    path: Path
    config: Noted

    def with_seeds(self, seeds: Iterable[int]) -> Imported:
        """Return the same run with some of its seeds. Raises `Refused` for a seed that it does not have."""
        if lacking := [seed for seed in seeds if seed not in self.config.seeds]:
            reason = f"must be seeds of this run, which was imported and has {shown_seeds(self.config.seeds)}"
            raise Refused(Problem(str(self.path), "seeds", reason, shown_seeds(lacking)))
        return replace(self, config=replace(self.config, seeds=tuple(seeds)))


Target = Job | Imported


def refuse_foreign(path: Path) -> None:
    """Raise `Refused` if there is something at `path` that is not a run directory."""
    try:
        free = is_run(path) or not path.exists()
        free = free or (path.is_dir() and all(any(map(entry.match, FIRST)) for entry in path.iterdir()))
        places = path, path / "checkpoint", path / "tensorboard", *path.glob("tensorboard/*")
        link = any(place.is_symlink() for place in places)
    except OSError as error:
        raise Refused(Problem(str(path), "name", f"cannot be read: {error.strerror}", path.name)) from None
    if link or not free:
        raise Refused(Problem(str(path), "name", "exists and is not a run directory; choose another name", path.name))
