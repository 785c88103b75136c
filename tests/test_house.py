"""The house rules: format, lint, types, the direction of imports, and docs that fail when they lie."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import dropout_lab
from dropout_lab import config as configs
from dropout_lab.dropout import DROPOUTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(dropout_lab.__file__).parent
README = (ROOT / "README.md").read_text()
MODULES = sorted(file.stem for file in PACKAGE.glob("*.py") if not file.stem.startswith("__"))


@pytest.mark.parametrize("command", ["ruff format --check", "ruff check", "mypy"])
def test_format_lint_and_types(command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def layers() -> list[str]:
    """The modules in the order of the README's tree: each may import only those below it."""
    return [name for name in re.findall(r"^    (\w+)\.py  ", README, re.MULTILINE) if not name.startswith("__")]


def imported(module: str) -> set[str]:
    """The modules of ours that `module` imports anywhere, but for what only the type checker reads."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    ours: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped |= {inner for statement in node.body for inner in ast.walk(statement)}
        if node in skipped or not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module == "dropout_lab":
            ours |= {alias.name for alias in node.names if alias.name in MODULES}
        elif node.module.startswith("dropout_lab."):
            ours.add(node.module.removeprefix("dropout_lab."))
    return ours


def test_the_readme_lists_every_module_once() -> None:
    assert sorted(layers()) == MODULES


def test_imports_point_downwards() -> None:
    order = layers()
    place = order.index
    assert not [(module, other) for module in order for other in imported(module) if place(other) <= place(module)]


def test_what_reads_does_not_know_what_trains() -> None:
    trains = {"training", "network", "execution", "recording", "dropout"}
    for reader in ("comparison", "metrics", "tables", "plots", "figures", "listing", "sweep_table", "gate", "report"):
        assert not imported(reader) & trains, reader


def test_statistics_imports_nothing_of_ours() -> None:
    assert not imported("statistics")


def test_every_config_loads_and_holds_only_what_differs_from_the_defaults() -> None:
    defaults = configs.flatten(configs.resolve({}, where="defaults", name="x"))
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    assert len(files) >= 5
    for file in files:
        text = file.read_text()
        assert text.startswith("# "), file
        flat = configs.flatten(configs.load(file))
        for section, values in yaml.safe_load(text).items():
            for key, value in values.items() if isinstance(values, dict) else [(None, values)]:
                name = f"{section}.{key}" if key else section
                assert flat[name] != defaults[name] or name == "name", f"{file.name}: {name} is the default"
                assert flat[name] == value


def test_every_command_is_in_the_readme() -> None:
    from typer.main import get_command

    from dropout_lab.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert f"`dropout-lab {name}" in README or f"\ndropout-lab {name}" in README, name
        assert "Example:" in (command.epilog or "") or name == "data", name


def test_every_kind_of_dropout_is_in_the_readme() -> None:
    assert all(f"`{kind}`" in README for kind in DROPOUTS)


def test_the_readmes_first_command_is_the_one_that_ci_runs() -> None:
    lines = README.splitlines()
    both = "configs/digits-baseline.yaml configs/digits-dropout.yaml"
    assert f"pip install -e . && dropout-lab compare {both} --seeds 5" in lines
    assert "pip install -e '.[dev]' && pytest" in lines


def test_pictures_and_files_that_the_docs_name_exist() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


RUNS_CODE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "codeop"}
LOADS = {
    "torch": {"load", "jit", "package", "hub"},
    "yaml": {"load", "unsafe_load", "full_load", "Loader", "UnsafeLoader"},
}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle"}


def dangers(source: str) -> list[str]:
    """Return what in a module's source could run code that is read from disk, or a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in RUNS_CODE]
        if isinstance(node, ast.ImportFrom) and node.module:
            module = node.module.partition(".")[0]
            found += [f"from {node.module}"] * (module in RUNS_CODE)
            found += [alias.name for alias in node.names if alias.name in LOADS.get(module, ())]
        if isinstance(node, ast.Attribute) and node.attr in LOADS.get(ast.unparse(node.value), ()):
            found.append(ast.unparse(node))
        if isinstance(node, ast.Call):
            call, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            found += [call] * (call in CALLS or keywords.get("shell", "False") != "False")
            reads_arrays = call in ("np.load", "numpy.load", "npy.read_array")
            found += [call] * (keywords.get("allow_pickle", "None" if reads_arrays else "False") != "False")
    return found


def test_nothing_that_is_read_can_run_code() -> None:
    """No pickle in any disguise, no YAML tag, no eval, no shell; `torch.load` is not used at all."""
    for file in PACKAGE.glob("*.py"):
        assert not dangers(file.read_text()), file.name


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from torch import load",
        "torch.load(f, weights_only=True)",
        "torch.jit.load(f)",
        "yaml.load(f, yaml.SafeLoader)",
        "yaml.full_load(f)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "npy.read_array(f)",
        "pd.read_pickle(f)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_what_could_run_code_is_found(source: str) -> None:
    assert dangers(source)
