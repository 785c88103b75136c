"""Run the command line inside the test's process, in a directory of its own, and look at what it left behind."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from dropout_lab import cli

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
REFUSAL = r"dropout-lab: error: [^:]+(:\d+)?: .+: .+ \(got .*\)"  # FILE[:LINE]: KEY: reason (got VALUE)
TINY = "data: {dataset: digits}\nnetwork: {hidden: [8]}\ntraining: {epochs: 2}\n"
HOSTILE = ("CI", "NO_COLOR", "GITHUB_STEP_SUMMARY", "DROPOUT_LAB_RUNS", "DROPOUT_LAB_DATA")


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


class Lab:
    """A directory to work in, with the project's configs and tiny.yaml; call it to run `dropout-lab LINE`."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.runs = path, path / "runs"
        self.capsys, self.monkeypatch = capsys, monkeypatch
        monkeypatch.chdir(path)
        for name in HOSTILE:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        shutil.copytree(CONFIGS, path / "configs")
        (path / "tiny.yaml").write_text(TINY)

    def __call__(self, line: str, *words: str) -> Outcome:
        self.monkeypatch.setattr("sys.argv", ["dropout-lab", *shlex.split(line), *words])
        self.capsys.readouterr()
        code = cli._run()
        out, err = self.capsys.readouterr()
        return Outcome(code, out, err)

    def tree(self) -> dict[str, str]:
        """Every file and directory, with a digest of what is in it."""
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
            for path in sorted(self.path.rglob("*"))
        }
