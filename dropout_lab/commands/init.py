"""What `init` writes: a config that explains every setting, one that comes with the package, or a pair to compare."""

from __future__ import annotations

import re
from pathlib import Path

from dropout_lab.commands.result import Result
from dropout_lab.config import resolve as configs
from dropout_lab.config import shipped
from dropout_lab.config.check import COMMAND_LINE
from dropout_lab.config.rules import did_you_mean, nearest
from dropout_lab.config.settings import NAME_FORM, RUN_NAME, Config, json_schema
from dropout_lab.errors import Problem, Refused
from dropout_lab.storage import as_json, atomic_write

SCHEMA = "dropout-lab.schema.json"
EDITORS = f"# yaml-language-server: $schema=./{SCHEMA}\n"
EVERY_KEY = "# Every key is here with {}; leave out what you do not change.\n"
OFF = {"dropout.rate": 0, "dropout.input_rate": 0}  # the values of a baseline


def init(name: str | None = None, source: str | None = None, pair: bool = False) -> Result[list[Path]]:
    """Write NAME.yaml and the schema for editors beside it, and return their paths.

    source: the name of a config that comes with the package, instead of all the defaults. pair: write
    NAME-baseline.yaml, without dropout, and NAME-dropout.yaml instead. Raises `Refused` if a config exists.
    """
    shipped_file = chosen(source) if source is not None else None
    stem = re.sub(r"\.ya?ml$", "", name) if name is not None else named_after(shipped_file, pair)
    if not RUN_NAME.fullmatch(f"{stem}-baseline" if pair else stem):
        reason = f"must be {NAME_FORM}, and no folder"
        raise Refused(Problem(COMMAND_LINE, "NAME", reason, stem))
    if pair:
        texts = both(stem, shipped_file)
    else:
        texts = {stem: copied(stem, shipped_file) if shipped_file else every_key(stem)}
    files = {Path(f"{stem}.yaml"): text for stem, text in texts.items()}
    if there := [file for file in files if file.exists()]:
        raise Refused(*(Problem(str(file), "file", "exists already; choose another name", file.stem) for file in there))
    files = {**files, Path(SCHEMA): as_json(json_schema())}
    for file, text in reversed(files.items()):  # the schema first: what names it comes after it
        atomic_write(file, text.encode())
    return Result([*files], lambda width: "\n".join(map(str, files)))


def chosen(source: str) -> Path:
    """Return the file of the shipped config of this name. Raises `Refused` for a name that none has."""
    file = shipped.file(source)
    if file is None:
        near = did_you_mean(nearest(source, shipped.names())) or f"; there are {', '.join(shipped.names())}"
        raise Refused(Problem(COMMAND_LINE, "--from", f"is no config that comes with the package{near}", source))
    return file


def named_after(shipped_file: Path | None, pair: bool) -> str:
    """Return the default name: that of the shipped config; a pair from mnist-dropout is called mnist."""
    stem = shipped_file.stem if shipped_file else "experiment"
    return re.sub("-(baseline|dropout)$", "", stem) if pair else stem


def every_key(name: str) -> str:
    """Return the text of NAME.yaml: every key, its default and its meaning."""
    head = f"{EDITORS}# Train it with: dropout-lab train {name}.yaml\n{EVERY_KEY.format('its default')}"
    return f"{head}\n{configs.commented_yaml(configs.resolve({}, where=COMMAND_LINE, name=name))}"


def copied(name: str, shipped_file: Path) -> str:
    """Return the text of a shipped config, for NAME.yaml."""
    return f"{EDITORS}# Train it with: dropout-lab train {name}.yaml\n{shipped_file.read_text(encoding='utf-8')}"


def both(name: str, shipped_file: Path | None) -> dict[str, str]:
    """Return the texts of a baseline and a candidate by their names: all keys, and only dropout differs.

    Raises `Refused` for a config without dropout, for then the two would be the same.
    """
    dropout: Config = configs.load(shipped_file) if shipped_file else configs.resolve({}, where=COMMAND_LINE, name=name)
    baseline = configs.changed(dropout, OFF)
    if baseline.identity == dropout.identity:
        reason = "needs a config with dropout: without it the two would be the same"
        raise Refused(Problem(COMMAND_LINE, "--pair", reason, shipped_file and shipped_file.stem))
    line = f"`dropout-lab compare {name}-baseline.yaml {name}-dropout.yaml --seeds 5`"
    head = f"{EDITORS}# Compare the two with {line}\n{EVERY_KEY.format('its value')}"
    own = {f"{name}-baseline": baseline, f"{name}-dropout": dropout}
    return {stem: f"{head}\n{configs.commented_yaml(config)}" for stem, config in own.items()}
