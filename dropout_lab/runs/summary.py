"""summary.json: the facts of a finished run, checked when they are written and when they are read. No torch here.

It is written after all other files of a run, and holds the SHA-256 of these files, and of its own text.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from dropout_lab.config.settings import Name
from dropout_lab.errors import MOVE_AWAY, Problem, Refused
from dropout_lab.storage import SEAL, is_sealed_json, read_file, seal_json, sha256

FORMAT: Literal[3] = 3  # of summary.json and of the files that it names; format 1 had no rate in metrics.csv
UNSEALED = 2  # this format had no seal, and can still be read


def _seed(key: object) -> object:
    """Return the seed that a key of the JSON object `seeds` stands for."""
    return int(key) if isinstance(key, str) and re.fullmatch("[0-9]{1,20}", key, re.ASCII) else key


Seed = Annotated[int, BeforeValidator(_seed)]
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]  # null: not finite


class Facts(BaseModel):
    """The base of all facts in summary.json: types are exact, and nothing changes."""

    model_config = ConfigDict(strict=True, frozen=True)


class Results(Facts):
    """What the weights of one epoch gave: mean cross-entropies in nats, accuracies from 0 to 1; NaN if not finite."""

    val_loss: Number
    val_accuracy: Number
    test_loss: Number
    test_accuracy: Number


RESULTS = tuple(Results.model_fields)


class FinishedSeed(Facts):
    """A seed that was trained to its end.

    epochs: how many were trained. best_epoch: the one with the lowest validation loss; None if that was not logged.
    last: the results of the weights that training ended with; with patience, these are the best ones. best: the results
    of the best epoch.
    """

    status: Literal["finished"] = "finished"
    epochs: PositiveInt
    best_epoch: PositiveInt | None
    last: Results
    best: Results


class DivergedSeed(Facts):
    """A seed whose loss stopped being finite, and the epoch and step (both from 1) in which it did.

    The step is None where a log does not tell.
    """

    status: Literal["diverged"] = "diverged"
    epoch: PositiveInt
    step: PositiveInt | None


SeedFacts = Annotated[FinishedSeed | DivergedSeed, Field(discriminator="status")]
SEED_FACTS: TypeAdapter[SeedFacts] = TypeAdapter(SeedFacts)


class Imported(Facts):
    """What a run was imported from: the kind of the logs, the column of each measure, and the files' SHA-256 by path.

    Only such a run has this in its summary.
    """

    kind: str
    columns: dict[str, str]
    files: dict[str, str]


class Summary(Facts):
    """All of summary.json but its seal, in the order in which it is written.

    identity: the identity of the run's config. data_sha256: the digest of the data. environment: versions, machine,
    device and commit, each by name. files: the SHA-256 of every file of the run but summary.json, by name.
    """

    format: Literal[2, 3] = FORMAT
    status: Literal["finished"] = "finished"
    name: str
    identity: str
    data_sha256: str
    seeds: dict[Seed, SeedFacts]
    environment: dict[str, Any]
    files: dict[Name, str]
    imported: Imported | None = None

    @property
    def finished(self) -> dict[int, FinishedSeed]:
        """The facts of each seed that did not diverge."""
        return {seed: facts for seed, facts in self.seeds.items() if isinstance(facts, FinishedSeed)}

    @property
    def diverged(self) -> dict[int, DivergedSeed]:
        """The facts of each seed that diverged."""
        return {seed: facts for seed, facts in self.seeds.items() if isinstance(facts, DivergedSeed)}

    def to_bytes(self) -> bytes:
        """Return summary.json, sealed; a result that is not finite is null there."""
        return seal_json(self.model_dump(exclude={"imported"} if self.imported is None else None))


def read_summary(path: Path) -> Summary | None:
    """Return a run directory's summary, None if it has none. Raises `Refused` if it is damaged or of a newer format."""
    file = path / "summary.json"
    try:
        data = read_file(file)
        facts = json.loads(data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(file, error) from None
    except (ValueError, RecursionError) as error:
        raise damaged(file, "file", "is not readable JSON", str(error)) from None
    version = facts.get("format") if isinstance(facts, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise Refused(Problem(str(file), "format", f"is newer than this dropout-lab ({FORMAT}); upgrade it", version))
    if version not in (UNSEALED, FORMAT):
        raise damaged(file, "format", f"must be {FORMAT}; an earlier dropout-lab wrote another", version)
    if not is_sealed_json(data) and (version == FORMAT or SEAL in facts):
        raise damaged(file, SEAL, "does not match the lines above it", facts.get(SEAL))
    try:
        return Summary.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise damaged(file, key, f"is not as it was written ({first['msg']})", first["input"]) from None


def check_hash(file: Path, summary: Summary) -> bytes:
    """Return the bytes of a file of the run. Raises `Refused` where their SHA-256 is not the one in `summary`."""
    try:
        data = read_file(file)
    except FileNotFoundError:
        raise damaged(file, "file", "is missing", file.name) from None
    except OSError as error:
        raise unreadable(file, error) from None
    if sha256(data) != summary.files.get(file.name):
        raise damaged(file, "sha256", "differs from the one in summary.json", sha256(data))
    return data


def unreadable(file: Path, error: OSError) -> Refused:
    """Return the refusal of a run file that cannot be read now; it may be whole, so nothing is advised to it."""
    return Refused(Problem(str(file), "file", f"cannot be read: {error.strerror or error}", file.name))


def damaged(path: Path, key: str, reason: str, value: object) -> Refused:
    """Return the refusal of a run file that is not as it was written."""
    return Refused(Problem(str(path), key, f"{reason}; {MOVE_AWAY}", value))
