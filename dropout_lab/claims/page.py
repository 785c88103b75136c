"""Shows claims and their rulings, as text, as plain data, as Markdown and as one HTML page."""

from __future__ import annotations

import base64
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dropout_lab import pages
from dropout_lab.claims.definition import Claim
from dropout_lab.claims.experiment import cost
from dropout_lab.claims.judge import Judged
from dropout_lab.claims.registry import GROUPS
from dropout_lab.execution import machine
from dropout_lab.storage import atomic_write, make_directory
from dropout_lab.text import count, cut, markdown_row, table

SCHEMA_VERSION = 1
TITLE = "Claims of the literature, run and judged"
INDENT = 5
HEAD = ("claim", "verdict", "published", "seeds", "time of one core")
TITLES = {"articles": "The articles", "theory": "The theory", "papers": "The papers"}


def write(results: Sequence[Judged], path: Path, command: str) -> None:
    """Write the page of judged claims. The suffix decides: HTML, or .md with its pictures in images/ beside it.

    command: the line that made the page.
    """
    trained = [run.summary.environment for judged in results for run in judged.runs.values()]
    where = sorted({f"{made['cpu']}, torch {made['torch']}" for made in trained}) or [machine.cpu_model()]
    facts = f"{date.today()}; {'; '.join(where)}; {machine.cores()} cores"
    pictures = {judged.claim.id: png for judged in results if (png := picture(judged))}
    make_directory(path.parent)
    if path.suffix == ".md":
        names = {id: f"images/claims-{id}.png" for id in pictures}
        make_directory(path.parent / "images")
        for id, name in names.items():
            atomic_write(path.parent / name, pictures[id])
        text = as_markdown(results, f"`{command}`, {facts}.", names)
    else:
        sections = [_section(judged, pictures.get(judged.claim.id, b"")) for judged in results]
        text = pages.page(
            "claims.html", title=TITLE, command=command, facts=facts, sum=summed(results), head=HEAD, claims=sections
        )
    atomic_write(path, text.encode())


def listed(claims: Sequence[Claim], width: int, speed: float) -> str:
    """Return the claims and what each would cost on a core of that `speed` (operations per second)."""
    lines = []
    for claim in claims:
        published = f"; published: {claim.published}" if claim.published else ""
        lines += textwrap.wrap(f"{claim.id:<{INDENT}}{claim.sentence}", width, subsequent_indent=" " * INDENT)
        runs = f"{count(len(claim.arms), 'run')} of {count(claim.seeds, 'seed')}, " if claim.arms else ""
        time = duration(cost([claim], speed))
        lines += wrapped(f"{sources(claim)}{published}; {runs}about {time} of one core", width)
    shared = f"{count(len(claims), 'claim')}, runs shared: about {duration(cost(claims, speed))} of one core"
    return "\n".join([*lines, "", shared])


def listed_as_dict(claims: Sequence[Claim], speed: float) -> dict[str, Any]:
    """Return the claims and what each would cost, in seconds of a core of that `speed`, as plain data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "core_seconds": cost(claims, speed),
        "claims": [described(claim) | {"seeds": claim.seeds, "core_seconds": cost([claim], speed)} for claim in claims],
    }


def described(claim: Claim) -> dict[str, Any]:
    """Return a claim as plain data, without its rulings."""
    return {
        "id": claim.id,
        "source": claim.source,
        "sentence": claim.sentence,
        "published": claim.published,
        "configs": configs(claim),
    }


def sources(claim: Claim) -> str:
    """Return the source of a claim and the configs of its experiment, as `validate` knows them."""
    return "; ".join([claim.source, *(f"config {name}" for name in configs(claim))])


def configs(claim: Claim) -> list[str]:
    """Return the names of the config files of a claim's arms, without suffix."""
    return sorted({arm.config for arm in claim.arms.values()})


def as_text(results: Sequence[Judged], width: int) -> str:
    """Return every claim with its rulings, then a table of all verdicts, then their numbers."""
    lines: list[str] = []
    rows = [(f"{'':<{INDENT}}{HEAD[1]}", *HEAD[2:])]
    for judged in results:
        claim = judged.claim
        lines += textwrap.wrap(f"{claim.id:<{INDENT}}{claim.sentence}", width, subsequent_indent=" " * INDENT)
        for ruling in judged.rulings:
            reading = f" ({ruling.reading})" if ruling.reading else ""
            lines += wrapped(f"{ruling.word}{reading}: {ruling.measured}; {ruling.reason}", width)
        lines += [line for text in judged.missing for line in wrapped(text, width)]
        published = f"published: {claim.published}; " if claim.published else ""
        lines += wrapped(f"{published}{sources(claim)}", width)
        rows.append((f"{claim.id:<{INDENT}}{judged.verdict}", cut(claim.published or "-", 30), *trained(judged)))
    return "\n".join([*lines, "", *table(rows, width), "", summed(results)])


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text that stands indented below its claim."""
    indent = " " * INDENT
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def trained(judged: Judged) -> tuple[str, str]:
    """Return how many seeds a verdict rests on and how long they took; "-" for a claim that needs no run."""
    return (str(judged.seeds), duration(judged.seconds)) if judged.claim.arms else ("-", "-")


def duration(seconds: float) -> str:
    """Return a time in a round unit: "3 s", "12 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def summed(results: Sequence[Judged]) -> str:
    """Return how many claims have each verdict."""
    words = Counter(judged.verdict for judged in results)
    order = ("HOLDS", "FAILS", "UNDECIDED", "depends on the reading")
    return f"{count(len(results), 'claim')}: " + ", ".join(f"{words[word]} {word}" for word in order if words[word])


def as_dict(results: Sequence[Judged]) -> dict[str, Any]:
    """Return the results as plain data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "claims": [
            described(judged.claim)
            | {
                "verdict": judged.verdict,
                "rulings": [
                    {"verdict": own.word, "reading": own.reading, "measured": own.measured, "reason": own.reason}
                    for own in judged.rulings
                ],
                "missing": list(judged.missing),
                "seeds": judged.seeds,
                "seconds": judged.seconds,
                "runs": {name: str(run.path) for name, run in judged.runs.items()},
            }
            for judged in results
        ],
    }


def as_markdown(results: Sequence[Judged], facts: str = "", pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the Markdown page: a table for each group of claims, and the pictures below it.

    facts: how, when and where the results were made. pictures: the path of a picture, for claims that have one.
    """
    lines = [f"# {TITLE}", "", *([facts, ""] if facts else []), summed(results) + "."]
    for group, letter in GROUPS.items():
        members = [judged for judged in results if judged.claim.id.startswith(letter)]
        if not members:
            continue
        head = (*HEAD[:2], "measured", *HEAD[2:])
        lines += ["", f"## {TITLES[group]}", "", markdown_row(head), markdown_row(("---",) * len(head))]
        lines += [markdown_row(cell.replace("|", "\\|") for cell in _cells(judged)) for judged in members]
        for judged in members:
            if picture := pictures.get(judged.claim.id):
                lines += ["", f"**{judged.claim.id}** {judged.claim.sentence}", "", f"![{judged.claim.id}]({picture})"]
    return "\n".join(lines) + "\n"


def _cells(judged: Judged) -> tuple[str, ...]:
    claim, rulings = judged.claim, judged.rulings
    words, measured = [f"**{judged.verdict}**"], [f"{ruling.measured}; *{ruling.reason}*" for ruling in rulings]
    if len(rulings) > 1:
        words += [f"{ruling.word}: {ruling.reading}" for ruling in rulings]
        measured = [f"{ruling.reading}: {text}" for ruling, text in zip(rulings, measured, strict=True)]
    files = [f"`configs/{name}.yaml`" for name in configs(claim)]
    sentence = " ".join([f"**{claim.id}**", claim.sentence, f"*{claim.source}*", *files])
    verdict, numbers = "<br>".join(words), "<br>".join([*measured, *judged.missing])
    return sentence, verdict, numbers, claim.published or "-", *trained(judged)


def _section(judged: Judged, picture: bytes) -> dict[str, Any]:
    """Return what templates/claims.html shows of one claim."""
    seeds, time = trained(judged)
    took = f"; {count(judged.seeds, 'seed')}, {time} of one core" if judged.claim.arms else ""
    return {
        "judged": judged,
        "trained": (seeds, time),
        "sources": sources(judged.claim) + took,
        "picture": base64.b64encode(picture).decode(),
    }


def picture(judged: Judged) -> bytes | None:
    """Return the picture of a claim as PNG; None if it has none, or lacks the runs that it draws.

    If the arms have different networks, only those with the first arm's are drawn. Of evaluations, only the first is.
    """
    from dropout_lab.claims.theory_figure import two_readings
    from dropout_lab.evaluation.figures import FIGURES
    from dropout_lab.figures.plots import PLOTS
    from dropout_lab.figures.style import encoded

    draw, loaded = judged.claim.draw, list(judged.runs.values())
    if draw in PLOTS and loaded:
        alike = [run for run in loaded if run.trained.network == loaded[0].trained.network]
        return encoded(PLOTS[draw].draw(alike)[0])
    if draw in FIGURES and judged.evaluations:
        figure = FIGURES[draw](next(iter(judged.evaluations.values())))
        return encoded(figure) if figure else None
    return encoded(two_readings()) if draw == "two readings" else None
