"""The page about runs: it needs nothing else, no name in it is markup, and in a browser it does what it says."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Page, all_of, chromium, press, quiet, visit
from commandline import Lab
from comparable import ENVIRONMENT, forge, write_run
from PIL import Image

from dropout_lab import pages, storage
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config import resolve as configs
from dropout_lab.data import datasets as data
from dropout_lab.data.npz import Stored
from dropout_lab.errors import Refused
from dropout_lab.report import curves as report_curves
from dropout_lab.report import images as report_images
from dropout_lab.report import page as report
from dropout_lab.report import runs as report_runs
from dropout_lab.report.curves import Curves
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import COLUMNS
from dropout_lab.runs.summary import FORMAT
from dropout_lab.storage import sha256
from dropout_lab.sweeps import judge as sweep_table
from dropout_lab.sweeps.plan import Member, Sweep

HOSTILE = "</script><script>alert(1)</script><b>&amp;\"' \u2028\x1b[31m"
LIMIT = 3_000_000  # bytes


def toy(
    directory: Path, name: str, rate: float = 0.0, *, seeds: int = 3, epochs: int = 100, digest: str = "", **other: Any
) -> Run:
    """Write a finished run on scikit-learn's digits whose numbers follow from its name and rate."""
    draw = np.random.default_rng(int.from_bytes(name.encode()[:8], "little"))
    labels = data.DATASETS["digits"].read(directory)[3].astype(np.int64)
    path = directory / name
    path.mkdir(parents=True)
    sections = {"data": {"dataset": "digits"}, "dropout": {"rate": rate}, "seeds": list(range(seeds))}
    config = configs.resolve(
        sections | {"training": {"epochs": epochs}} | other, where="toy", name="toy", check_files=False
    )
    (path / "config.yaml").write_text(configs.to_yaml(config))
    metrics, timing, facts = [",".join(COLUMNS)], ["seed,epoch,seconds"], {}
    for seed in range(seeds):
        for epoch in range(1, epochs + 1):
            noise = draw.normal(0, 0.01, 2).tolist()
            clean = 0.4 * float(np.exp(-epoch * (0.4 - 0.3 * rate))) + 0.03 + noise[0]
            val = clean + 0.05 + 0.002 * epoch * (1 - rate) + noise[1]
            metrics.append(f"{seed},{epoch},{clean + rate},0.8,{clean},0.95,{val},{1 - val / 4},{rate}")
            timing.append(f"{seed},{epoch},0.25")
        end = {"val_loss": val, "val_accuracy": 1 - val / 4, "test_loss": val, "test_accuracy": 0.9 + noise[0]}
        facts[str(seed)] = {"status": "finished", "epochs": epochs, "best_epoch": 5, "last": end, "best": end}
    probabilities = draw.dirichlet(np.full(10, 0.1), (seeds, len(labels))).astype(np.float32)
    probabilities[:, np.arange(len(labels)), labels] += draw.random((seeds, len(labels)), np.float32)
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    arrays = {"labels": labels, "predictions": probabilities.argmax(axis=2), "probabilities": probabilities}
    np.savez(path / "predictions.npz", seeds=np.arange(seeds), **arrays)  # type: ignore[arg-type]
    (path / "metrics.csv").write_text("\n".join(metrics) + "\n")
    (path / "timing.csv").write_text("\n".join(timing) + "\n")
    summary = {
        "format": FORMAT,
        "status": "finished",
        "name": name,
        "identity": config.identity,
        "data_sha256": digest or data.digest(Stored.of(data.DATASETS["digits"].read(directory))),
        "environment": ENVIRONMENT | {"git_commit": "0123456789" * 4, "numpy": "2.4.6"},
        "seeds": facts,
        "files": {file.name: sha256(file.read_bytes()) for file in path.iterdir()},
    }
    (path / "summary.json").write_bytes(storage.seal_json(summary))
    return runs.load(path)


def page(*paths: Path, where: Path = Path("nowhere")) -> str:
    return report.page(report_runs.gather(paths), where)


def sections(text: str) -> dict[str, str]:
    return Page(text).texts


# The page


def test_the_sections_say_what_compare_and_the_files_say(tmp_path: Path) -> None:
    base, drop = toy(tmp_path, "base"), toy(tmp_path, "drop", 0.5)
    said = sections(page(base.path, drop.path))
    assert "on test accuracy" in said["verdict"] and "on new images too" in said["verdict"]
    assert "dropout.rate 0.0 -> 0.5" in said["conditions"] and str(drop.path) in said["conditions"]
    for seed, value in METRICS["test_accuracy"].finite(drop).items():
        assert METRICS["test_accuracy"].shown(value) in said["seeds"], seed
    assert all(metric.title in said["results"] for metric in METRICS.values())
    assert base.summary.data_sha256 in said["environment"] and "0123456789" * 4 in said["environment"]
    assert f"dropout-lab train drop.yaml --name drop --seeds 0..2 --runs-dir {tmp_path}\n" in said["reproduce"]
    assert "git checkout 0123456789" in said["reproduce"] and "torch==2.15.0" in said["reproduce"]
    assert configs.to_yaml(drop.config).strip() in said["reproduce"]


def test_what_it_says_reproduces_the_config(lab: Lab) -> None:
    lab("train tiny.yaml --seeds 2..2 --name two")
    said = sections(page(Path("runs/two")))["reproduce"]
    line = next(line for line in said.splitlines() if line.startswith("dropout-lab train"))
    shutil.copy(lab.runs / "two" / "config.yaml", "two.yaml")
    assert line == "dropout-lab train two.yaml --name two --seeds 2..2"
    assert "nothing to train" in lab(line.removeprefix("dropout-lab ") + " --dry-run").out


def test_every_text_is_escaped(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"cpu": HOSTILE, "git_commit": HOSTILE, "torch": HOSTILE, HOSTILE: HOSTILE}
    good = write_run(tmp_path, "base", [0.9, 0.91, 0.92], environment=environment)
    evil = write_run(tmp_path, HOSTILE.replace("/", "%"), [0.9, 0.91, 0.92], rate=0.5)
    text = page(good.path, evil.path)
    tags = [tag for tag, _ in Page(text).elements]
    assert tags.count("script") == 2 and "b" not in tags
    assert "alert(1)<" not in text and "\x1b" not in text and "\u2028" not in text
    said = Page(text)
    assert not [name for _, attributes in said.elements for name in attributes if name.startswith("on")]
    assert json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])["runs"][1]["name"].startswith("<%script>")


@pytest.mark.slow
def test_thirty_runs_fit_into_three_megabytes(tmp_path: Path) -> None:
    paths = [toy(tmp_path, f"run-{number}", number / 40).path for number in range(30)]
    text = page(*paths)
    assert len(text.encode()) < LIMIT
    looks = {attributes.get("class") for tag, attributes in Page(text).elements if attributes.get("data-run")}
    assert len(looks) == 30 and text.count("<img") == 30 * 2 * report_images.SHOWN


def test_a_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    text = page(toy(tmp_path, "base").path, toy(tmp_path, "drop", 0.5).path)
    for tag, attributes in Page(text).elements:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert "default-src 'none'" in text
    style, script = (path.read_text() for path in (pages.STYLE, pages.REPORT_SCRIPT))
    assert not re.search(r"url\(|@import", style)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|fetch\(|XMLHttpRequest|import\(|innerHTML", script)


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [str(toy(tmp_path, "base").path), str(toy(tmp_path, "drop", 0.5).path)]
    program = (
        "import sys, hashlib; from pathlib import Path; from dropout_lab.report import page, runs\n"
        "text = page.page(runs.gather([Path(name) for name in sys.argv[1:]]), Path('nowhere'))\n"
        "print(hashlib.sha256(text.encode()).hexdigest(), 'torch' in sys.modules)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program, *paths],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(found) == 1 and found.pop().split()[1] == "False", "a report needs no torch"


# Runs that cannot be shown, or not compared


def test_a_damaged_run_is_named_and_the_others_are_shown(lab: Lab) -> None:
    for name in ("base", "drop", "lost"):
        toy(lab.runs, name, 0.5 * (name == "drop"))
    (lab.runs / "lost" / "metrics.csv").write_text("nonsense")
    outcome = lab("report base lost drop")
    assert outcome.code == 1 and outcome.out == ""
    assert "written   report.html" in outcome.err and "error: runs/lost/metrics.csv: sha256: differs" in outcome.err
    said = sections(Path("report.html").read_text())
    assert "runs/lost/metrics.csv" in said["verdict"] and "on test accuracy" in said["verdict"]
    assert "drop" in said["results"] and "lost" not in said["results"]


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


FEW = {"seeds": np.arange(3), "labels": np.arange(5), "predictions": np.zeros((3, 4))}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text", saved(), saved(**FEW)])
def test_predictions_that_make_no_sense_are_damage(content: bytes, tmp_path: Path) -> None:
    run = toy(tmp_path, "base", epochs=2)
    forge(run.path, "predictions.npz", content)
    with pytest.raises(Refused, match="predictions.npz"):
        report_runs.gather([run.path])


def test_predictions_that_swell_are_damage(tmp_path: Path) -> None:
    """What is written is not compressed, so an archive that holds more than its own size is a bomb."""
    run = toy(tmp_path, "base", epochs=2)
    packed = io.BytesIO()
    np.savez_compressed(packed, **run.predictions())  # type: ignore[arg-type]
    forge(run.path, "predictions.npz", packed.getvalue())
    with pytest.raises(Refused, match="predictions.npz: arrays: cannot be read"):
        report_runs.gather([run.path])


def test_nothing_but_damaged_runs_is_refused(lab: Lab) -> None:
    toy(lab.runs, "lost")
    (lab.runs / "lost" / "metrics.csv").unlink()
    before = lab.tree()
    outcome = lab("report lost")
    assert outcome.code == 2 and "metrics.csv" in outcome.err and lab.tree() == before


def test_runs_that_cannot_be_compared_are_shown_with_the_reason(tmp_path: Path) -> None:
    base, drop = toy(tmp_path, "base"), toy(tmp_path, "drop", 0.5)
    other = toy(tmp_path, "other", 0.5, digest="f" * 64)
    split = toy(tmp_path, "split", data={"dataset": "digits", "validation_fraction": 0.5})
    said = sections(page(base.path, other.path, drop.path, split.path))
    assert "must be the data of" in said["verdict"] and "data.validation_fraction: must be 0.1" in said["verdict"]
    assert "on test accuracy" in said["verdict"] and "drop" in said["comparison"]
    assert "other" not in said["comparison"] and "other" in said["results"] and "not compared" in said["conditions"]
    alone = sections(page(base.path, other.path))
    assert "must be the data of" in alone["verdict"] and "comparison" not in alone


def test_one_run_and_runs_of_one_name(tmp_path: Path) -> None:
    first, second = toy(tmp_path / "a", "rate-0"), toy(tmp_path / "b", "rate-0", 0.5)
    assert "nothing to compare" in sections(page(first.path))["verdict"]
    said = sections(page(first.path, second.path))
    assert "a/rate-0" in said["results"] and "b/rate-0" in said["results"]


def test_diverged_seeds_and_runs_are_told(tmp_path: Path) -> None:
    base = write_run(tmp_path, "base", [0.9, 0.91, 0.92])
    wild = write_run(tmp_path, "wild", [0.9, 0.91, 0.92], rate=0.5, diverged=[0, 1, 2])
    said = sections(page(base.path, wild.path))
    assert "diverged" in said["verdict"] and "0-2" in said["conditions"] and said["seeds"].count("diverged") == 3


def test_a_sweep_is_judged_as_the_sweep_is_each_run_against_its_own_baseline(tmp_path: Path) -> None:
    """Not against the first run of all, and not on the seeds of a confirmation, which sweep.csv does not have."""
    members: list[Member] = []
    for width in (8, 9):
        for rate in (0.0, 0.5):
            name = f"hidden-{width}_rate-{rate:g}"
            run = toy(tmp_path / "s", name, rate, seeds=4, epochs=5, network={"hidden": [width]})
            made = {"network.hidden": [width], "dropout.rate": rate}
            members.append(Member(name, made, run.config, f"hidden-{width}_rate-0"))
    planned = Sweep("s", tuple(members))
    (tmp_path / "s" / "sweep.yaml").write_text(planned.to_yaml())
    loaded = {member.name: runs.load(tmp_path / "s" / member.name).only([0, 1, 2]) for member in members}
    table = sweep_table.judge(planned, loaded)
    (tmp_path / "s" / "sweep.csv").write_text(sweep_table.to_csv(table))
    said = sections(page(tmp_path / "s"))
    assert sweep_table.sentence(table) in said["verdict"] and "against its own baseline" in said["comparison"]
    for part in sweep_table.parts(table):
        for cell in (cell for line in part for cell in line) if isinstance(part, list) else ():
            assert cell.strip() in said["comparison"]
    assert "3 ok" in said["comparison"] and "4 ok" not in said["comparison"]
    apart = toy(tmp_path, "apart", 0.3, epochs=5)
    both = sections(page(tmp_path / "s", apart.path, toy(tmp_path, "other", epochs=5).path))
    assert "Candidate other" in both["comparison"] and sweep_table.sentence(table) in both["verdict"]
    assert "hidden" not in both["comparison"].partition("Candidate other")[2]


# The command


@pytest.mark.slow
def test_a_sweep_stands_for_its_finished_runs(lab: Lab) -> None:
    lab("sweep tiny.yaml --rates 0.5,0.25 --vary dropout.kind=bernoulli,gaussian training.epochs=1 --name s -q")
    lab("sweep tiny.yaml --rates 0.5,0.25 --vary dropout.kind=bernoulli,gaussian --name s -q")
    (lab.runs / "s" / "kind-gaussian_rate-0.5" / "summary.json").unlink()
    outcome = lab("report s runs/s/rate-0 --out pages/of/s.html")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "written   pages/of/s.html\n")
    said = Path("pages/of/s.html").read_text()
    names = [run["name"] for run in json.loads(re.findall(r'id="data">(.*?)</script>', said)[0])["runs"]]
    assert names == ["rate-0", "kind-bernoulli_rate-0.5", "kind-bernoulli_rate-0.25", "kind-gaussian_rate-0.25"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("report", "PATH...: is missing"),
        ("report nobody", "run: no run and no sweep has this name"),
        ("report bose", "did you mean base?"),
        ("report base --out page.txt", "--out: must be a file that ends in .html"),
        ("report base --out tiny.yaml/page.html", "--out: must be a directory"),
        ("report unfinished", "unfinished: run: has no finished run"),
        ("report empty", "sweep: has no finished run"),
    ],
)
def test_refusals(line: str, expected: str, lab: Lab) -> None:
    shutil.copytree(toy(lab.runs, "base").path, lab.runs / "unfinished")
    (lab.runs / "unfinished" / "summary.json").unlink()
    (lab.runs / "empty").mkdir()
    (lab.runs / "empty" / "sweep.yaml").write_text("name: empty\nruns: [{name: gone, settings: {}, baseline: null}]\n")
    before = lab.tree()
    outcome = lab(line)
    assert outcome.code == 2 and expected in outcome.err and not outcome.out and lab.tree() == before


# Curves and images


def test_curves_are_means_with_extremes_and_break_where_a_number_is_missing(tmp_path: Path) -> None:
    run = toy(tmp_path, "base", epochs=1000)
    curves = report_curves.curves(run)
    assert len(curves.epochs) <= report_curves.POINTS + 1 and curves.epochs[0] == 1 and curves.epochs[-1] == 1000
    at = run.metrics[run.metrics["epoch"] == curves.epochs[7]]["val_loss"]
    assert [values[7] for values in curves.values["val_loss"]] == pytest.approx([at.mean(), at.min(), at.max()])
    assert report_curves.line([0, 1, 2, 3], [0, np.nan, 5, 6]) == "M0.0 0.0h0M2.0 5.0h0L3.0 6.0"


@pytest.mark.parametrize("values", [[], [np.nan], [1.0], [0.0, 1e300], [-1e-30, 1e-30], [np.inf, 2.0], [3.0, 3.0]])
def test_no_numbers_break_a_chart(values: list[float]) -> None:
    curves = Curves(list(range(len(values))), dict.fromkeys(report_curves.MEASURES, (values, values, values)))
    chart = report_curves.chart("val_loss", [curves])
    drawn = pages.render("charts.html", charts=[chart], area=report_curves.AREA)
    assert not re.search(r"\b(nan|inf)\b", drawn.replace("aria-label", ""))
    Page(drawn)


def test_the_hardest_images_are_picked_by_the_mean_of_the_seeds() -> None:
    probabilities = np.array(
        [[[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0, 1]]]
    )
    arrays = {
        "seeds": np.arange(2),
        "labels": np.array([0, 0, 0, 0]),
        "predictions": probabilities.argmax(axis=2),
        "probabilities": probabilities,
    }
    missed, uncertain = report_images.hardest(arrays)
    assert [image.number for image in missed] == [3, 1]
    assert [image.number for image in uncertain] == [2, 1, 3, 0]
    assert (missed[0].probability, missed[0].wrong, missed[0].caption) == (0.8, 2, "0, taken for 1 (80 %)")


def test_a_picture_is_the_stored_image_and_never_large(tmp_path: Path) -> None:
    def read(uri: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))

    images = data.DATASETS["digits"].read(tmp_path)[2]
    grey = report_images.grey(images)
    assert (grey == np.rint(images / 16 * 255)).all() and (read(report_images.picture(grey[3])) == grey[3]).all()
    assert max(read(report_images.picture(np.zeros((300, 200), np.uint8))).shape) <= report_images.LARGEST


def test_images_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    run = toy(tmp_path, "base")
    assert "<img" in page(run.path)
    other = toy(tmp_path, "other", digest="f" * 64)
    said = page(other.path)
    assert "<img" not in said and "The images cannot be shown: digits: sha256" in sections(said)["images"]
    assert "test image" in sections(said)["images"]
    mnist = toy(tmp_path, "mnist", data={"dataset": "mnist"})
    assert "MNIST/raw/train-images-idx3-ubyte: mnist: is missing" in sections(page(mnist.path))["images"]
    own = toy(tmp_path, "own", data={"dataset": "gone.npz"})
    assert "gone.npz" in sections(page(own.path))["images"]
    assert not (tmp_path / "nowhere").exists() and not Path("nowhere").exists()


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    """The browser with a page of three runs, opened from its file."""
    paths = [toy(tmp_path, name, rate).path for name, rate in (("base", 0.0), ("drop-0.2", 0.2), ("drop-0.5", 0.5))]
    (tmp_path / "report.html").write_text(page(*paths), encoding="utf-8")
    return visit(browser, tmp_path / "report.html")


def test_toggling_hides_a_curve_and_fits_the_rest(opened: Any) -> None:
    def ticks() -> list[Any]:
        return [text.get_attribute("y") for text in all_of(opened, "[data-measure=val_loss] text.y")]

    button = all_of(opened, "button.toggle")[2]
    curves = all_of(opened, ".run[data-run='2']")
    before = ticks()
    assert len(curves) == 4 and button.get_attribute("aria-pressed") == "true" and "drop-0.5" in button.text
    assert all(curve.is_displayed() for curve in curves)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not any(curve.is_displayed() for curve in curves) and ticks() != before
    assert all(curve.is_displayed() for curve in all_of(opened, ".run[data-run='1']"))
    button.click()
    assert all(curve.is_displayed() for curve in curves) and ticks() == before
    assert quiet(opened)


def test_sorting_reorders_the_rows_both_ways(opened: Any) -> None:
    table = next(table for table in all_of(opened, "table") if "Every seed" in table.text)
    column = next(
        index
        for index, head in enumerate(table.find_elements("css selector", "thead th"))
        if head.text.startswith("test accuracy")
    )

    def values() -> list[float]:
        cells = table.find_elements("css selector", f"tbody tr > :nth-child({column + 1})")
        return [float(cell.text) for cell in cells]

    before = values()
    head = table.find_elements("css selector", "thead th")[column]
    for order, expected in (("ascending", sorted(before)), ("descending", sorted(before, reverse=True))):
        head.find_element("css selector", "button").click()
        assert head.get_attribute("aria-sort") == order and values() == expected and expected != before
    assert len(table.find_elements("css selector", "[aria-sort]")) == 1
    legend = all_of(opened, "table.legend")[0]
    legend.find_elements("css selector", "thead button")[0].click()
    legend.find_elements("css selector", "thead button")[0].click()
    assert [row.text.split()[0] for row in all_of(opened, "table.legend tbody tr")] == ["drop-0.5", "drop-0.2", "base"]
    all_of(opened, "button.toggle")[0].click()  # the row moved, its run did not
    assert [curve.is_displayed() for curve in all_of(opened, ".run")] == [True, True, False] * 4
    assert quiet(opened)


def test_hovering_shows_values_and_dragging_zooms(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    chart = all_of(opened, "[data-measure=val_loss] .ground")[0]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    ActionChains(opened).move_to_element_with_offset(chart, 0, 20).perform()
    tip, caption = all_of(opened, ".tip")[0], all_of(opened, "table.legend caption")[0]
    assert tip.is_displayed() and "drop-0.5" in tip.text and len(all_of(opened, ".rule")) == 4
    epoch = int(re.findall(r"epoch (\d+)", tip.text)[0])
    assert 45 < epoch < 55 and f"epoch {epoch}:" in caption.text

    def ends() -> tuple[int, int]:
        ticks = [int(text.text) for text in all_of(opened, "[data-measure=gap] .ticks text.x")]
        return ticks[0], ticks[-1]

    assert ends() == (20, 100)
    ActionChains(opened).click_and_hold().move_by_offset(80, 0).release().perform()
    assert ends()[0] >= epoch and ends()[1] < 80 and not all_of(opened, ".chosen")
    next(button for button in all_of(opened, ".toolbar button") if button.text == "Reset").click()
    assert ends() == (20, 100)
    assert quiet(opened)


def test_everything_works_with_the_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    reached: list[str] = []
    for _ in range(80):
        press(opened, Keys.TAB)
        focus = opened.switch_to.active_element
        name = focus.get_attribute("aria-label") or focus.text or focus.get_attribute("id")
        reached.append(name)
        if name == "Zoom in":
            press(opened, Keys.ENTER)
            zoomed = [text.text for text in all_of(opened, "[data-measure=gap] .ticks text.x")]
            assert "100" not in zoomed and len(zoomed) > 2
        if focus.get_attribute("id") == "epoch":
            press(opened, Keys.ARROW_LEFT)
            assert focus.get_attribute("aria-valuetext") == "epoch 99"
            assert "epoch 99" in all_of(opened, "table.legend caption")[0].text
        if "toggle" in (focus.get_attribute("class") or ""):
            press(opened, Keys.SPACE)
            assert focus.get_attribute("aria-pressed") == "false"
            assert not all_of(opened, ".run[data-run='0']")[0].is_displayed()
            break
    assert {"Zoom in", "Reset the zoom", "Show all runs", "epoch"} <= set(reached)
    assert quiet(opened)


def test_every_control_has_a_name_and_every_image_a_text(opened: Any) -> None:
    opened.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for element in all_of(opened, "button, input, [role=region], [role=group], svg[role=img], img"):
        assert element.accessible_name, element.get_attribute("outerHTML")
    levels = [int(head.tag_name[1]) for head in all_of(opened, "h1, h2, h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_light_dark_paper_and_a_telephone(opened: Any, tmp_path: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        grounds[scheme] = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert len(opened.get_screenshot_as_png()) > 10_000
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [feature]})
    assert opened.execute_script("return getComputedStyle(document.body).backgroundColor") == grounds["light"]
    assert not all_of(opened, ".toolbar")[0].is_displayed()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert quiet(opened)


def test_without_javascript_the_page_still_tells_everything(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened.refresh()
        assert len(all_of(opened, ".chart .line")) == 12 and not all_of(opened, "button")
        assert not all_of(opened, ".toolbar")[0].is_displayed()
        assert "base" in all_of(opened, "table.legend tbody")[0].text
    finally:
        opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
