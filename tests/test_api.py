"""The laws of the Python API: what the commands do, as objects that show themselves; typed and silent."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ROOT, Lab
from comparable import write_run
from matplotlib.figure import Figure

import dropout_lab as lab
from dropout_lab.commands import names as targets
from dropout_lab.config import resolve as configs
from dropout_lab.config.strict_yaml import written
from dropout_lab.data import datasets as data
from dropout_lab.evaluation import evaluate as evaluation
from dropout_lab.runs.find import find
from dropout_lab.sweeps import plan as sweeps

TINY = {"data": {"dataset": "digits"}, "network": {"hidden": [8]}, "training": {"epochs": 2}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(lab: Lab) -> Lab:
    """The command line, beside `lab`, which is the package here."""
    return lab


def pair(directory: Path) -> tuple[lab.Run, lab.Run]:
    """Two finished runs of four seeds, loaded."""
    write_run(directory / "runs", "base", [0.97, 0.972, 0.974, 0.971])
    write_run(directory / "runs", "drop", [0.968, 0.968, 0.971, 0.968], rate=0.5)
    return lab.load("runs/base"), lab.load("runs/drop")


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, dropout_lab as lab; assert not {'torch', 'pandas', 'numpy', 'dropout_lab.api'} & set(sys.modules)"
        "; lab.train; lab.Run; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there_and_no_other() -> None:
    assert all(getattr(lab, name).__doc__ for name in lab.__all__)
    assert {*lab.__all__} < {*dir(lab)}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        lab.trian  # type: ignore[attr-defined]  # noqa: B018


def test_training_in_python_is_the_training_of_the_command(command: Lab) -> None:
    assert command("train tiny.yaml --seeds 0..2 --name by-command").code == 0
    run = lab.train("tiny.yaml", seeds=3, name="by-python")
    assert isinstance(run, lab.Run) and run.seeds == (0, 1, 2)
    assert (run.path / "metrics.csv").read_bytes() == (command.runs / "by-command/metrics.csv").read_bytes()
    assert len(run.metrics) == 6 and {"seed", "epoch", "clean_train_loss", "val_loss"} < {*run.metrics.columns}
    again = command("train tiny.yaml --seeds 3 --name by-python")
    assert "nothing to train" in again.err and again.out == repr(run) + "\n"


def test_a_config_may_be_a_file_a_mapping_or_a_config(here: Path) -> None:
    (here / "tiny.yaml").write_text(json.dumps(TINY))
    resolved = configs.resolve(TINY, where="here", name="resolved")
    given: list[str | Path | Mapping[str, object] | configs.Config] = ["tiny.yaml", Path("tiny.yaml"), TINY, resolved]
    loaded = [lab.train(config, "training.epochs=1", runs_dir="kept") for config in given]
    assert [run.name for run in loaded] == ["tiny", "tiny", "experiment", "resolved"]
    assert len({run.config.identity for run in loaded}) == 1 and loaded[0].config.training.epochs == 1
    assert {path.name for path in here.iterdir()} == {"tiny.yaml", "kept"}


@pytest.mark.parametrize("seeds", [2, "2", "0..1", [0, 1], range(2)])
def test_seeds_are_what_they_are_on_the_command_line(seeds: Any, here: Path) -> None:
    pair(here)
    assert lab.compare("base", "drop", seeds=seeds).baseline.seeds == (0, 1)


@pytest.mark.slow
def test_nothing_is_printed_and_remarks_are_warnings(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lab.sweep(TINY, [0.5], seeds=1)
    lab.plot(lab.compare(lab.train(TINY), lab.train(TINY, "dropout.rate=0", name="none")))
    lab.evaluate("experiment", samples=1)
    np.savez("own.npz", x_train=np.zeros((40, 4), np.uint8), y_train=np.arange(40) % 2)
    own = TINY | {"data": {"dataset": "own.npz"}}
    lab.train(own, name="own")
    np.savez("own.npz", x_train=np.ones((40, 4), np.uint8), y_train=np.arange(40) % 2)
    with pytest.warns(UserWarning, match=r"runs/own: own.npz has changed since"):
        lab.train(own, name="own")
    assert capfd.readouterr() == ("", "")


def test_python_objects_mean_what_the_words_of_the_command_line_mean() -> None:
    base = configs.resolve(TINY, where="here", name="base")
    words = sweeps.plan(base, "0,0.1,0.30", ["network.hidden=[4],[8,8]", "regularization.max_norm=null,3"], name="s")
    axes: dict[str, list[object]] = {"network.hidden": [(4,), [8, 8]], "regularization.max_norm": [None, 3]}
    assert sweeps.plan(base, [-0.0, 0.1, np.float64(0.3)], axes, name="s") == words
    assert words.to_yaml() == sweeps.plan(base, [-0.0, 0.1, np.float64(0.3)], axes, name="s").to_yaml()
    values = {"training.epochs": 3, "dropout.rate": [0.25], "seeds": (4, 2), "name": "2024", "device": "cpu"}
    spelled = ["training.epochs=3", "dropout.rate=[0.25]", "seeds=[4, 2]", "name='2024'", "device=cpu"]
    assert configs.changed(base, values) == configs.resolve(TINY, spelled, where="here", name="base")


WRONG_VALUES = {
    "training.epochs": "three",
    "dropout.rate": [0.5, 2],
    "data": 1,
    "seed": 3,
    "dropout.rat": 0.1,
    "": None,
}


def test_values_are_refused_as_words_are_all_of_them_at_once() -> None:
    words = [f"{key}={written(value)}" for key, value in WRONG_VALUES.items() if key]
    with pytest.raises(lab.Refused) as by_words:
        configs.resolve(TINY, words, where="here", name="base")
    with pytest.raises(lab.Refused) as by_values:
        configs.resolve(TINY, values=WRONG_VALUES, where="here", name="base")
    lines = str(by_values.value).splitlines()
    assert len(lines) == len(WRONG_VALUES) and {*str(by_words.value).splitlines()} < {*lines}


@pytest.mark.parametrize("rates", [[], [0.1, 0.1], ["0.1"], [2.0], [float("nan")]])
def test_rates_that_are_none_are_refused(rates: list[Any]) -> None:
    with pytest.raises(lab.Refused):
        sweeps.plan(configs.resolve(TINY, where="here", name="base"), rates, name="s")


def test_what_is_refused_names_every_problem_and_changes_nothing(here: Path) -> None:
    with pytest.raises(lab.Refused, match=r"dropout.rate: must be .* \(got 2\)(.|\n)*epochs: must be"):
        lab.train(TINY, "dropout.rate=2", "training.epochs=0")
    for refused in (
        lambda: lab.load("nowhere"),
        lambda: lab.compare("base", "drop"),
        lambda: lab.compare(TINY, TINY),
        lambda: lab.compare(TINY, TINY | {"name": "b"}, metric="accuracy"),
        lambda: lab.sweep(TINY),
        lambda: lab.sweep(TINY, "0.5..0.1"),
        lambda: lab.train(TINY, track="wandb"),
    ):
        with pytest.raises(lab.LabError) as caught:
            refused()
        assert caught.value.exit_code == 2
    assert not list(here.iterdir())


def test_a_diverged_seed_is_a_result_and_a_failure_is_raised(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.train(TINY, "training.learning_rate=1e30", "training.optimizer=sgd")
    assert run.diverged == (0,) and "diverged  seed 0" in repr(run) and "<table" not in run._repr_html_()

    def fail(*arguments: object) -> None:
        raise OSError("out of luck")

    monkeypatch.setattr("dropout_lab.training.network", fail)
    with pytest.raises(lab.Failed, match="runs/fails seed 0: OSError: out of luck"):
        lab.train(TINY, name="fails")
    with pytest.raises(lab.Failed, match="rate-0.5 seed 0: OSError: out of luck"):
        lab.sweep(TINY, [0.5])


def test_a_comparison_shows_what_the_command_prints(command: Lab) -> None:
    base, drop = pair(command.path)
    found = lab.compare(base, drop, min_effect="0.2pp")
    assert repr(found) + "\n" == str(found) + "\n" == command("compare base drop --min-effect 0.2pp").out
    assert found.contrasts[0].verdict.word == "worse"
    assert (command.runs / "_comparisons/base-vs-drop/comparison.json").is_file()
    lab.compare(base, "drop", out="elsewhere")
    assert (command.path / "elsewhere/comparison.json").is_file()


@pytest.mark.slow
def test_a_sweep_shows_what_the_command_prints(command: Lab) -> None:
    table = lab.sweep("tiny.yaml", [0.2, 0.5], {"network.hidden": [[4], [8]]}, seeds=2)
    assert repr(table) + "\n" == command("sweep tiny.yaml --rates 0.2,0.5 --vary network.hidden=[4],[8] --seeds 2").out
    assert [line.member.settings["network.hidden"] for line in table.lines] == [[4]] * 3 + [[8]] * 3
    same = lab.sweep("tiny.yaml", "0.2,0.5", ["network.hidden=[4],[8]"], seeds=2, name="tiny-sweep")
    assert repr(same) == repr(table)


@pytest.mark.slow
def test_every_result_has_a_table_for_notebooks_with_everything_escaped(here: Path) -> None:
    base, drop = pair(here)
    third = write_run(here / "runs", "third", [0.97, 0.971], rate=0.2)
    trained = lab.train(TINY)
    shown = [base, lab.compare(base, drop), lab.compare(base, drop, third), lab.evaluate(trained, 1)]
    for result in [*shown, lab.sweep(TINY, [0.5])]:
        text, page = repr(result), result._repr_html_()  # type: ignore[attr-defined]
        assert page.count("<table") == page.count("</table>") >= 1 and page.count("<tr>") == page.count("</tr>") > 1
        assert "<" not in re.sub(r"</?(p|br|b|table|thead|tbody|tr|td|th)( (class|scope)=[\"a-z]*)*>", "", page)
        words = html.unescape(re.sub("<[^>]*>", " ", page)).split()
        assert len({*words} & {*text.split()}) > 0.8 * len({*words})
    hostile = lab.Run(Path("<b>"), "<script>&", base.config, base.summary)
    assert "<script>" not in hostile._repr_html_() and "&lt;script&gt;&amp;" in hostile._repr_html_()


def test_plots_are_figures_that_a_notebook_shows_and_nothing_is_written(here: Path) -> None:
    base, drop = pair(here)
    before = set(here.rglob("*"))
    for figure in (lab.plot(base), lab.plot("runs/base"), lab.plot(base, drop), lab.plot([base, "runs/drop"])):
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert set(here.rglob("*")) == before
    for result in (lab.compare(base, drop), lab.sweep(TINY, [0.5])):
        assert isinstance(lab.plot(result), Figure)
    with pytest.raises(lab.Refused):
        lab.plot("runs/nowhere")


def test_evaluate_is_that_of_the_command(here: Path) -> None:
    found = lab.evaluate(lab.train(TINY, seeds=2), samples=2)
    assert isinstance(found, evaluation.Evaluation) and len(found.seeds) == 2
    assert (here / "runs/_evaluations/experiment/evaluation.json").is_file()


TYPED = """
import dropout_lab as lab
from matplotlib.figure import Figure
from pandas import DataFrame

run: lab.Run = lab.train({"data": {"dataset": "digits"}}, "dropout.rate=0.3", seeds=range(3), device="cpu")
rows: DataFrame = lab.load("runs/x").metrics
found: lab.Comparison = lab.compare(run, "configs/digits-baseline.yaml", metric="test_loss", min_effect="0.01")
table: lab.SweepTable = lab.sweep(None, [0.1, 0.5], {"network.hidden": [[64], [128]]}, seeds="0..4")
figure: Figure = lab.plot(table)
error: float = lab.evaluate(run, samples=5).seeds[0].weight_scaling.error
word: str = found.contrasts[0].verdict.word
try:
    lab.plot([run, "runs/y"])
except lab.Refused as refused:
    print(refused.problems)
"""
WRONG = {
    'lab.train(3)': "arg-type",
    'lab.load("x").metric': "attr-defined",
    'lab.compare("a")': "call-arg",
    "lab.trian": "attr-defined",
    'lab.train("x", seeds=0.5)': "arg-type",
}  # fmt: skip


@pytest.mark.xdist_group("mypy")  # with that of the package itself, which fills the cache
def test_the_api_is_typed(tmp_path: Path) -> None:
    assert (Path(lab.__file__).parent / "py.typed").is_file()
    for name, lines in (("typed", [TYPED]), ("wrong", ["import dropout_lab as lab", *WRONG])):
        (tmp_path / f"{name}.py").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    files = [str(tmp_path / "typed.py"), str(tmp_path / "wrong.py")]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    result = subprocess.run([*command, *files], cwd=ROOT, env=environment, capture_output=True, text=True)
    found = dict(re.findall(r"wrong.py:(\d+): error: .*\[(.*)\]$", result.stdout, re.MULTILINE))
    assert found == {str(line): code for line, code in enumerate(WRONG.values(), start=2)}, result.stdout
    assert "typed.py" not in result.stdout


# Weights elsewhere


def blocks(document: str) -> list[str]:
    """The blocks of Python in a document."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", document, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


@pytest.mark.parametrize("kind", ["bernoulli", "bernoulli-scaled", "dropconnect"])
def test_three_lines_of_plain_pytorch_have_the_network_back(kind: str, here: Path) -> None:
    file = ROOT / "configs/digits-dropout.yaml"
    run = lab.train(file, f"dropout.kind={kind}", "dropout.samples=1", "training.epochs=2", "dropout.mask=batch")
    (lines,) = (block for block in blocks((ROOT / "docs/runs.md").read_text()) if "load_state_dict" in block)
    assert len([line for line in lines.splitlines() if line and not line.startswith("from ")]) == 3
    (more,) = (block for block in blocks((ROOT / "docs/dropout.md").read_text()) if "layer.weight" in block)
    more = {"bernoulli": "", "bernoulli-scaled": more, "dropconnect": more.replace("2], model[4", "0], model[2")}[kind]
    names: dict[str, Any] = {}
    exec(f"{lines}\n{more}", names)
    images = data.load("digits", "unit", targets.Options(Path("runs"), Path()).data).test_images
    with torch.no_grad():
        probabilities = torch.softmax(names["model"](images), 1).numpy()
    np.testing.assert_allclose(probabilities, run.predictions()["probabilities"][0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_lines_of_the_python_api_run(here: Path) -> None:
    (lines,) = (
        block for block in blocks((ROOT / "docs/how-to.md").read_text()) if "import dropout_lab as lab" in block
    )
    (here / "configs").symlink_to(ROOT / "configs")
    names: dict[str, Any] = {}
    for told, quick in [("seeds=3", "seeds=1"), ("seeds=5", "seeds=3"), ("levels=3", "levels=2"), ("100", "5")]:
        lines = lines.replace(told, quick)
    exec(lines, names)
    assert names["baseline"].seeds == (0, 1, 2) and find(here / "runs")


# The notebook


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e '.[dev]'")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install -e '.[dev]'")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install -e '.[dev]'")
    file = ROOT / "docs/notebook.ipynb"
    assert file.stat().st_size < 300_000
    with contextlib.chdir(tmp_path):
        notebook = nbformat.read(file, as_version=4)
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(output.output_type == "execute_result" for output in shown)  # nothing is printed, not even to stderr
    kinds = [kind for output in shown for kind in output.data]
    assert kinds.count("image/png") == 2 and kinds.count("text/html") == 4
    assert "verdict" in "".join(output.data["text/plain"] for output in shown)


AS_FOUND = """
import locale, logging, os, random, signal, sys, warnings
import matplotlib, numpy as np, pandas, scipy.stats, sklearn.datasets, torch  # the last but one sets KMP_ variables
import dropout_lab as lab

torch.set_num_threads(2)

def found():
    tiny = torch.from_numpy(np.full(2 * 2**16, 1e-40, np.float32))
    return {
        "flushed": (tiny.mul(0.5).view(torch.int32) == 0)[[0, -1]].tolist(),  # by this thread, and by the other
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "type": torch.get_default_dtype(), "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(), "device": torch.get_default_device(),
        "torch's numbers": torch.get_rng_state().tolist(), "numbers": random.getstate(),
        "numpy's numbers": str(np.random.get_state()), "numpy's errors": np.geterr(),
        "printing": np.get_printoptions(), "pandas": pandas.describe_option(_print_desc=False),
        "warnings": list(warnings.filters), "signals": [signal.getsignal(n) for n in range(1, 32)],
        "locale": locale.setlocale(locale.LC_ALL), "rcParams": dict(matplotlib.rcParams),
        "environment": dict(os.environ), "place": os.getcwd(), "path": list(sys.path),
        "logging": (logging.root.level, list(logging.root.handlers)), "limit": sys.getrecursionlimit(),
    }

if sys.argv[1] == "set":  # whatever the program has chosen is left to it
    torch.set_flush_denormal(True); torch.set_grad_enabled(False); np.seterr(all="ignore")
    matplotlib.rcParams["lines.linewidth"] = 7
elif sys.argv[1] == "late":
    import dropout_lab.threads  # torch's threads start in a training, if nobody has started them before
before = found() if sys.argv[1] != "late" else None
config = {"data": {"dataset": "digits"}, "network": {"hidden": [16]}, "training": {"epochs": 1}}
for name, call in {
    "train": lambda: lab.train(config, seeds=2), "load": lambda: lab.load("runs/experiment"),
    "sweep": lambda: lab.sweep(config, [0.2]), "evaluate": lambda: lab.evaluate("experiment", 2),
    "compare": lambda: lab.compare("runs/experiment", config | {"name": "b"}, seeds=2),
    "plot": lambda: lab.plot("runs/experiment"),
}.items():
    call()
    after = found()
    before = before or after | {"flushed": [False, False]}
    assert before == after, (name, [key for key in before if before[key] != after[key]])
"""


@pytest.mark.parametrize("how", ["default", "set", "late"])
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_program_finds_everything_as_it_was(how: str, here: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", AS_FOUND, how], check=True, env=environment)
