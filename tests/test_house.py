"""The house rules: format, lint, types, the direction of imports, and docs that fail when they lie."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import dropout_lab
from dropout_lab.config import resolve as configs
from dropout_lab.dropout import DROPOUTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(dropout_lab.__file__).parent
README = (ROOT / "README.md").read_text()
MODULES = sorted(
    file.relative_to(PACKAGE).with_suffix("").as_posix() for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"
)
FOLDERS = sorted({room.parent.name for room in PACKAGE.glob("*/__init__.py")})


MYPY = pytest.mark.xdist_group("mypy")  # with that of the api, which finds what this one learns of torch


@pytest.mark.parametrize("command", ["ruff format --check", "ruff check", pytest.param("mypy", marks=MYPY)])
def test_format_lint_and_types(command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def room(module: str) -> str:
    """The room that a module is in: its folder, or itself where it stands at the root."""
    return module.partition("/")[0]


def module_of(name: str) -> str:
    """The module that a dotted name such as dropout_lab.runs.read.Run means, as its path without .py."""
    parts = name.split(".")[1:]
    while parts and "/".join(parts) not in MODULES:
        parts.pop()
    return "/".join(parts)


def imported(module: str) -> set[str]:
    """The modules of ours that `module` imports: anywhere, and also for the type checker alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {module_of(name) for name in names if name.partition(".")[0] == "dropout_lab"}
    return found - {""}


def circles(arrows: Mapping[str, set[str]]) -> list[str]:
    """What cannot be put in an order in which every arrow points down: the members of circles, and what is above."""
    left = {name: set(targets) - {name} for name, targets in arrows.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_the_scan_sees_the_whole_house() -> None:
    assert len(MODULES) > 70 and len(FOLDERS) == 14
    assert "training" in MODULES and "runs/record" in MODULES


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_no_modules_import_each_other() -> None:
    assert not circles({module: imported(module) for module in MODULES})


def test_imports_point_one_way_between_the_rooms() -> None:
    arrows: dict[str, set[str]] = {room(module): set() for module in MODULES}
    for module in MODULES:
        arrows[room(module)] |= {room(other) for other in imported(module)}
    assert not circles(arrows)


def test_the_readmes_tree_is_the_house() -> None:
    """Every folder and every module at the root stands there once; a word before a colon is a module of the folder."""
    tree = re.search(r"^dropout_lab/\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert tree
    named = re.findall(r"^    (\w+)(/|\.py) ", tree[1], re.MULTILINE)
    at_root = [module for module in MODULES if "/" not in module and not module.startswith("__")]
    assert sorted(name for name, kind in named if kind == "/") == FOLDERS
    assert sorted(name for name, kind in named if kind == ".py") == at_root
    for folder, words in re.findall(r"^    (\w+)/ (.*)$", tree[1], re.MULTILINE):
        assert not [name for name in re.findall(r"(\w+): ", words) if f"{folder}/{name}" not in MODULES], folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_begins_with_its_table_of_contents(folder: str) -> None:
    """The docstring of its __init__.py has a line for each module, and that is all that the file holds."""
    tree = ast.parse((PACKAGE / folder / "__init__.py").read_text())
    contents = ast.get_docstring(tree) or ""
    assert len(tree.body) == 1
    named = re.findall(r"^(\w+)  ", contents, re.MULTILINE)
    assert sorted(named) == sorted(file.stem for file in (PACKAGE / folder).glob("*.py") if file.stem != "__init__")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tests_mirror_the_house(folder: str) -> None:
    assert list((ROOT / "tests" / folder).glob("test_*.py"))


def test_no_module_has_the_name_of_one_in_the_standard_library() -> None:
    names = {part for module in MODULES for part in module.split("/") if not part.startswith("__")}
    assert not names & sys.stdlib_module_names


def test_what_reads_does_not_know_what_trains() -> None:
    trains = {"training", "network", "optimizer", "execution", "cluster", "runs/record", "runs/checkpoint"}
    readers = [module for module in MODULES if room(module) in ("comparison", "sweeps", "figures", "report")]
    assert len(readers) > 12
    for reader in readers:
        assert not {other for other in imported(reader) if other in trains or room(other) in trains}, reader


def test_inference_imports_nothing_of_ours() -> None:
    assert not imported("comparison/inference")


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


def test_every_kind_of_dropout_has_its_formula_in_the_docs() -> None:
    page = (ROOT / "docs/dropout.md").read_text()
    assert all(f"\n| `{kind}` |" in page for kind in DROPOUTS)


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
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > len(MODULES)
    for file in files:
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
