"""The law of advice: an option that a message names is one of the command that says it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import ROOT, Lab
from comparable import write_run
from typer.main import get_command

from dropout_lab import cli

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
TRAINING = ("train", "compare", "sweep", "reproduce")
SAID_BY = {  # the commands from which the messages of a room or module come; of all others any command
    "claims": ("reproduce",),
    "cluster": ("sweep",),
    "sweeps": ("sweep",),
    "data": (*TRAINING, "evaluate", "report", "fetch", "doctor"),
    "comparison/gate": ("compare",),
    "logs": ("import",),
    "commands/imported": ("import",),
    "commands/tune": ("compare", "sweep"),
    "commands/until": ("compare", "sweep"),
    "comparison/terms": ("compare",),
    "storage": (*TRAINING, "doctor"),
    "shell": TRAINING,  # it looks first whether the command has seeds
}
NOT_OURS = {"--local-directory", "--format"}  # of Dask's workers, and of git


def options() -> dict[str, set[str]]:
    """The options of every command."""
    found: dict[str, set[str]] = {}
    for name, command in get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        for inner, below in {name: command, **getattr(command, "commands", {})}.items():
            found[inner] = {option for parameter in below.params for option in parameter.opts}
    return found


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of a module without its docstrings, the parts of one that is formatted together."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inner:
            yield node.value


def advice(text: str) -> Iterator[tuple[str, str | None]]:
    """The options that a text names beside other words, each with the command that the text puts before it, if any."""
    for found in () if re.fullmatch(r"[^ ]*", text) else OPTION.finditer(text):
        before = re.search(r"`dropout-lab (\w+)[^`]*$", text[: found.start()])
        yield found[0], before and before[1]


def test_every_option_that_a_message_names_exists_where_it_is_said() -> None:
    known, seen = options(), 0
    for file in sorted((ROOT / "dropout_lab").rglob("*.py")):
        place = file.relative_to(ROOT / "dropout_lab").with_suffix("")
        if place == Path("cli"):
            continue  # its texts are the help: see below
        own = (place.name,) if place.parent == Path("commands") and place.name in known else None
        said_by = SAID_BY.get(str(place)) or SAID_BY.get(place.parts[0]) or own or tuple(known)
        for text in texts(ast.parse(file.read_text(encoding="utf-8"))):
            for option, command in advice(text):
                seen += 1
                for name in (command,) if command else said_by:
                    assert option in known[name] | NOT_OURS | {"--help"}, f"{place}: {name} has no {option}: {text}"
    assert seen > 10


@pytest.mark.parametrize("name", options())
def test_every_option_that_a_help_names_exists(name: str, lab: Lab) -> None:
    group = ["data"] if name in ("fetch", "verify", "where") else []
    shown = lab("", *group, name, "--help").out.partition("Example:")[0]
    assert {*OPTION.findall(shown)} <= options()[name] | {"--help"}


def test_only_a_command_with_seeds_is_told_of_them(lab: Lab) -> None:
    write_run(lab.runs, "base", [0.9])
    assert "--seeds" not in lab("evaluate base --seed 3").err


def test_no_help_and_no_message_needs_a_checkout(lab: Lab) -> None:
    """They name shipped configs, which are there after `pip install` too; the pages of claims name their files."""
    for name in options():
        group = ["data"] if name in ("fetch", "verify", "where") else []
        assert "configs/" not in lab("", *group, name, "--help").out, name
    for file in sorted((ROOT / "dropout_lab").rglob("*.py")):
        said = [text for text in texts(ast.parse(file.read_text(encoding="utf-8"))) if ".yaml" in text]
        assert not [text for text in said if "configs/" in text] or file.name == "page.py", file


def test_the_examples_of_help_can_be_planned_in_an_empty_directory(lab: Lab) -> None:
    """Those that train, as they are printed, but for those about runs or files of the user's own."""
    (lab.path / "configs").rename(lab.path / "aside")
    seen = 0
    for command in "train", "compare", "sweep", "validate":
        for line in re.findall(r"^ +dropout-lab (.*)$", lab(f"{command} --help").out, re.MULTILINE):
            if not any(word in line for word in ("a.yaml", "--tune")):
                seen += 1
                said = lab(line + " --dry-run" * (command != "validate"))
                assert said.code == 0, (line, said.err)
    assert seen > 5
