"""Runs and comparisons -> one HTML page that needs no other file and no network. Reads what is on disk, trains nothing.

The same runs give the same bytes. Without JavaScript the page has everything but toggling, zooming and sorting, which
report.js adds; report.css is its look. A Content-Security-Policy forbids every request, and every script but that one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison import verdict as wording
from dropout_lab.comparison.compare import Comparison
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.tables import mean_sd, metric_lines, run_lines
from dropout_lab.comparison.verdict import about, condition, differences
from dropout_lab.config import resolve as configs
from dropout_lab.config.strict_yaml import written
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused, printable
from dropout_lab.figures.plots import BAND, GAP, conditions
from dropout_lab.report import curves as report_curves
from dropout_lab.report import images as report_images
from dropout_lab.report.curves import MEASURES, Curves
from dropout_lab.report.runs import Gathered, gather
from dropout_lab.runs.find import is_run
from dropout_lab.runs.summary import FinishedSeed
from dropout_lab.storage import atomic_write, make_directory, read_file
from dropout_lab.sweeps import judge as sweep_table
from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.text import Line, Markup, html_line, html_table, shown_seeds
from dropout_lab.text import html_text as _text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dropout_lab.runs.read import Run

STYLE, SCRIPT = Path(__file__).with_name("report.css"), Path(__file__).with_name("report.js")
PINNED = ("torch", "numpy")  # the packages that decide the numbers


def write(paths: Sequence[Path], data_directory: Path, out: Path) -> list[str]:
    """Write the page about the runs in `paths`, and return a line for each problem that kept one off it."""
    gathered = gather(paths)
    make_directory(out.parent)
    atomic_write(out, page(gathered, data_directory).encode())
    return [str(problem) for problem in gathered.problems]


def page(gathered: Gathered, data_directory: Path) -> str:
    """Return the page. The images of hard digits are there where their data set is in `data_directory`."""
    own, compared = gathered.runs, gathered.compared
    unlike = [problem for run in compared[1:] for problem in comparisons.unlike(compared[0], run)]
    alike = [run for run in compared if not comparisons.unlike(compared[0], run)]
    found = comparisons.compare(alike) if len(alike) > 1 else None
    averaged = [report_curves.curves(run) for run in own]
    sections = {
        "verdict": ("Verdict", _verdict(found, unlike, gathered)),
        "conditions": ("Conditions", _conditions(gathered, found)),
        "comparison": ("Comparison", _comparison(found, gathered.sweeps)),
        "curves": ("Curves", _curves(own, averaged)),
        "results": ("Results", _results(own)),
        "seeds": ("Seed by seed", _seeds(own, found)),
        "images": ("Hardest test images", _images(own, data_directory)),
        "environment": ("Environment", _environment(own)),
        "reproduce": ("How to reproduce", _reproduce(gathered)),
    }
    present = {name: section for name, section in sections.items() if section[1]}
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in present.items())
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>\n{content}\n</section>'
        for name, (title, content) in present.items()
    )
    style, script = (file.read_text(encoding="utf-8") for file in (STYLE, SCRIPT))
    title = _text(_title(gathered))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1>
<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main>
{body}
</main>
<script type="application/json" id="data">{_data(own, averaged)}</script>
<script>{script}</script>
</body>
</html>
"""


def _policy(style: str, script: str) -> str:
    """Return a policy under which nothing is fetched, and nothing runs but our own script, by its digest."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    styles, scripts = (f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; base-uri 'none'"


def _title(gathered: Gathered) -> str:
    own = gathered.runs
    if len(gathered.sweeps) == 1 and not gathered.compared:
        return f"Sweep {gathered.sweeps[0].sweep.name}"
    return " against ".join(run.name for run in own) if len(own) < 3 else f"{own[0].name} and {len(own) - 1} other runs"


# Sections: each returns HTML, "" where there is nothing to say


def _verdict(found: Comparison | None, unlike: Sequence[Problem], gathered: Gathered) -> str:
    chosen = [(f"Sweep {table.sweep.name}: ", sweep_table.sentence(table)) for table in gathered.sweeps]
    parts = [f"<p>{_text(name + sentence)}.</p>" for name, sentence in chosen if sentence]
    if found:
        pairs = zip(found.contrasts, wording.verdicts(found), strict=True)
        sentences = (f'<p class="{contrast.verdict.word}">{_text(sentence)}</p>' for contrast, sentence in pairs)
        parts.append(f'<div class="verdicts">{"".join(sentences)}</div>')
        tested = (wording.images(contrast) for contrast in found.contrasts if contrast.images)
        parts += [f"<p>Test images: {_text(sentence)}.</p>" for sentence in tested]
        parts.append(_list("note", wording.notes(found)))
    elif not unlike and not gathered.sweeps:
        parts.append("<p>One run: there is nothing to compare it with.</p>")
    if unlike:
        parts.append(f"<p>Not compared with {_text(gathered.compared[0].name)}, and why:</p>")
        parts.append(_list("warning", map(str, unlike)))
    if gathered.problems:
        parts.append("<p>Not shown at all, and why:</p>" + _list("warning", map(str, gathered.problems)))
    return "\n".join(filter(None, parts))


def _conditions(gathered: Gathered, found: Comparison | None) -> str:
    apart = {run.path: "not compared" for run in gathered.compared[1:]}
    apart |= {run.path: "baseline" for run in gathered.compared[:1]}
    apart |= {Path(contrast.candidate.path): differences(contrast) for contrast in found.contrasts} if found else {}
    for table in gathered.sweeps:
        for run, member in ((line.run, line.member) for line in table.lines if line.run):
            made = ", ".join(f"{key} {written(value)}" for key, value in member.settings.items())
            apart[run.path] = f"baseline: {made}" if member.is_baseline else made
    lines = []
    for run in gathered.runs:
        epochs, path = str(run.config.training.epochs), str(run.path)
        seeds = shown_seeds(run.seeds), _diverged(run)
        lines.append((run.name, conditions(run), epochs, *seeds, apart[run.path], path))
    head = ("run", "conditions", "epochs", "seeds", "diverged", "differs from its baseline", "directory")
    return _table("The runs", [head, *lines])


def _diverged(run: Run) -> str:
    return shown_seeds(run.diverged) or "none"


def _comparison(found: Comparison | None, sweeps: Sequence[SweepTable]) -> str:
    parts = []
    for table in sweeps:
        name, said = f"sweep {table.sweep.name}", sweep_table.parts(table)
        captions = iter((f"Every run of {name} against its own baseline", f"Two settings of {name}"))
        parts += [
            f"<p>{html_line(part)}</p>\n" if isinstance(part, str) else _table(next(captions), part) for part in said
        ]
    if found:
        several = len(found.contrasts) > 1
        candidates = "Every run" if several else f"Candidate {about(found.contrasts[0].candidate)}"
        head, *body = run_lines(found) if several else metric_lines(found)
        headed = (*head[:-1], "verdict")  # which needs no head on a terminal
        parts.append(_table(f"{candidates} against baseline {about(found.baseline)}", [headed, *body]))
    return "".join(parts)


def _curves(own: Sequence[Run], averaged: Sequence[Curves]) -> str:
    charts = "".join(report_curves.chart(key, averaged) for key in MEASURES)
    head = ("run", *MEASURES.values())
    lines = [
        (Markup(f"{report_curves.swatch(number)} {_text(run.name)}"), *_last(curves))
        for number, (run, curves) in enumerate(zip(own, averaged, strict=True))
    ]
    table = _table(
        "Values at the last epoch of each run: mean [lowest, highest] over the seeds", [head, *lines], "legend"
    )
    notes = f"<p>{_text(BAND)} {_text(GAP)}</p>"
    return f'{notes}\n<div class="toolbar" hidden></div>\n<div class="charts">{charts}</div>\n{table}'


def _last(curves: Curves) -> list[str]:
    if not curves.epochs:
        return ["-"] * len(MEASURES)
    ends = [[values[-1] for values in curves.values[key]] for key in MEASURES]
    return [f"{mean:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low != high else "") for mean, low, high in ends]


def _results(own: Sequence[Run]) -> str:
    sides = [comparisons.measure(run) for run in own]
    head = ("run", *(metric.label for metric in METRICS.values()))
    lines = []
    for run, side in zip(own, sides, strict=True):
        estimates = ((key, side.estimate(key)) for key in METRICS)
        lines.append((run.name, *(mean_sd(key, estimate) if estimate else "-" for key, estimate in estimates)))
    return _table("Mean ± standard deviation over the seeds that did not diverge", [head, *lines])


def _seeds(own: Sequence[Run], found: Comparison | None) -> str:
    keys = [key for key in METRICS if key != "seconds_per_epoch"]
    lines: list[Line] = [("run", "seed", "status", "best epoch", *(METRICS[key].label for key in keys))]
    for run in own:
        values = {key: METRICS[key].finite(run) for key in keys}
        for seed in run.seeds:
            facts = run.summary.seeds[seed]
            best_epoch = str(facts.best_epoch) if isinstance(facts, FinishedSeed) else "-"
            cells = [METRICS[key].shown(values[key][seed]) if seed in values[key] else "-" for key in keys]
            lines.append((run.name, str(seed), facts.status, best_epoch, *cells))
    return _table("Every seed of every run", lines) + (_pairs(found) if found else "")


def _pairs(found: Comparison) -> str:
    """Return the differences of the judged metric, pair by pair."""
    metric = METRICS[found.metric]
    rows = [(c.candidate.name, c.rows[found.metric].per_seed) for c in found.contrasts if found.metric in c.rows]
    seeds = sorted({seed for _, own in rows for seed in own})
    if not seeds:
        return ""
    lines = [
        (name, *(metric.shown_difference(own[seed], sign=True) if seed in own else "-" for seed in seeds))
        for name, own in rows
    ]
    caption = f"Difference from the baseline in {metric.title}, pair by pair"
    return _table(caption, [("run", *(f"seed {seed}" for seed in seeds)), *lines])


def _images(own: Sequence[Run], directory: Path) -> str:
    known: dict[tuple[str, str], NDArray[np.uint8] | str] = {}
    parts = [
        "<p>Judged by the mean of the seeds' probabilities at the last epoch. Below an image: its label, what it is "
        "taken for if that is something else, and how probable the networks find that.</p>"
    ]
    for number, run in enumerate(own):
        source = run.config.data.dataset, run.summary.data_sha256
        if source not in known:
            known[source] = _pixels(*source, directory)
        content = _hardest(run, known[source])
        parts.append(f"<details{' open' * (number < 2)}><summary>{_text(run.name)}</summary>{content}</details>")
    return "\n".join(parts)


def _pixels(dataset: str, sha256: str, directory: Path) -> NDArray[np.uint8] | str:
    """Return the test images as bytes, or why there are none to show."""
    try:
        images = data.test_images(dataset, directory, sha256)
    except Refused as refused:
        return f"The images cannot be shown: {refused.problems[0]}"
    if images.ndim != 3:
        return f"The images cannot be shown: those of {dataset} are plain numbers, without a height and a width."
    return report_images.grey(images)


def _hardest(run: Run, pixels: NDArray[np.uint8] | str) -> str:
    arrays = run.predictions()
    if not len(arrays["seeds"]) or not len(arrays["labels"]) or "probabilities" not in arrays:
        return "<p>No network of this run has left probabilities.</p>"
    if not isinstance(pixels, str) and len(pixels) != len(arrays["labels"]):
        pixels = f"The images cannot be shown: there are {len(pixels)}, but {len(arrays['labels'])} predictions."
    missed, uncertain = report_images.hardest(arrays)
    parts = [f"<p>{_text(pixels)}</p>"] if isinstance(pixels, str) else []
    for title, images in (("Misclassified, most confident first", missed), ("Most uncertain first", uncertain)):
        items = "".join(f"<li>{_image(image, pixels)}</li>" for image in images)
        parts.append(f"<h3>{title}</h3>" + (f'<ul class="images">{items}</ul>' if items else "<p>None.</p>"))
    return "".join(parts)


def _image(image: report_images.Hard, pixels: NDArray[np.uint8] | str) -> str:
    if isinstance(pixels, str):
        return image.about
    picture = report_images.picture(pixels[image.number])
    return f'<figure><img alt="{image.about}" src="{picture}"><figcaption>{image.caption}</figcaption></figure>'


def _environment(own: Sequence[Run]) -> str:
    facts = [comparisons.surroundings(run) for run in own]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    shared = [key for key in keys if all(fact.get(key) == facts[0].get(key) for fact in facts)]
    apart = [key for key in keys if key not in shared]
    names = {"data": "data SHA-256", "git_commit": "commit"}
    seconds = [f"{sum(run.seconds.values()):.1f}" for run in own]
    head = ("run", *(names.get(key, key) for key in apart), "training time s")
    lines = [
        (run.name, *(condition(key, fact.get(key)) for key in apart), time)
        for run, fact, time in zip(own, facts, seconds, strict=True)
    ]
    same = [(names.get(key, key), str(facts[0][key])) for key in shared]
    return _table("The same for all runs", [("what", "value"), *same]) * bool(same) + _table(
        "Run by run", [head, *lines]
    )


def _reproduce(gathered: Gathered) -> str:
    own = gathered.runs
    first = own[0].summary.environment
    versions = [f"{name}=={first[name]}" for name in PINNED if first.get(name)]
    lines = [f"git checkout {shlex.quote(str(first['git_commit']))}"] if first.get("git_commit") else []
    lines += [shlex.join(["pip", "install", "-e", ".", *versions])]
    for run in own:
        seeds = ",".join(f"{low}..{high or low}" for low, _, high in _spans(run))
        words = ["dropout-lab", "train", _file(run), "--name", run.path.name, "--seeds", seeds]
        lines.append(shlex.join([*words, *["--runs-dir", str(run.path.parent)] * (run.path.parent != Path("runs"))]))
    lines.append(shlex.join(["dropout-lab", "report", *map(str, gathered.sources)]))
    texts = {_file(run): configs.to_yaml(run.config) for run in own}
    planned = [path for path in gathered.sources if not is_run(path)]
    texts |= {f"{path}/sweep.yaml": read_file(path / "sweep.yaml").decode() for path in planned}
    files = [
        f"<details><summary>{_text(name)}</summary><pre>{_lines(text)}</pre></details>" for name, text in texts.items()
    ]
    return (
        "<p>In a checkout of dropout-lab, with the files below. On a CPU of the same kind and with the versions above, "
        "metrics.csv comes out as the same bytes.</p>"
        f"<pre>{_lines(chr(10).join(lines))}</pre>\n" + "\n".join(files)
    )


def _file(run: Run) -> str:
    """Return the name of a file for the run's config, another one for every run."""
    return run.name.replace("/", "_") + ".yaml"


def _spans(run: Run) -> Iterable[tuple[str, str, str]]:
    return (span.partition("-") for span in shown_seeds(run.seeds).split(", "))


# HTML


def _data(own: Sequence[Run], averaged: Sequence[Curves]) -> str:
    """Return what report.js reads; no text in it can end the element that it stands in."""
    curves: list[dict[str, Any]] = [
        {"name": printable(run.name), "look": report_curves.look(number), **curves.as_dict()}
        for number, (run, curves) in enumerate(zip(own, averaged, strict=True))
    ]
    text = json.dumps({"measures": MEASURES, "runs": curves}, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _table(caption: str, lines: Sequence[Line], name: str = "") -> str:
    """Return a table that scrolls sideways where it is wide."""
    table = html_table(lines, caption, name)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}">{table}</div>\n'


def _list(kind: str, items: Iterable[str]) -> str:
    entries = "".join(f"<li>{_text(item)}</li>" for item in items)
    return f'<ul class="{kind}">{entries}</ul>' if entries else ""


def _lines(text: str) -> str:
    """Return text of several lines, each of them escaped."""
    return "\n".join(map(_text, text.splitlines()))
