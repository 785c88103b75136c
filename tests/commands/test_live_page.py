"""The page that is there while networks train: it reloads itself, costs the training nothing, ends as the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import Lab

from dropout_lab.commands import live_page


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written as a page while networks train, in this order; every epoch writes one."""
    written: list[str] = []
    original = live_page.atomic_write

    def write(path: Path, data: bytes, **how: Any) -> None:
        written.append(data.decode())
        original(path, data, **how)

    monkeypatch.setattr(live_page, "atomic_write", write)
    monkeypatch.setattr(live_page, "EVERY", 0.0)
    return written


def test_the_page_reloads_while_networks_train_and_is_the_report_at_the_end(lab: Lab, pages: list[str]) -> None:
    line = "compare tiny.yaml configs/digits-baseline.yaml training.epochs=2 --seeds 2"
    assert lab(f"{line} --live-page p/x.html").code == 0
    assert all('<meta http-equiv="refresh"' in text and "<script" not in text for text in pages)
    assert "No epoch has ended yet" in pages[0] and ": epoch 1 of 2" in pages[1]
    assert "tiny: epoch 2 of 2" in pages[-1] and "digits-baseline: epoch 2 of 2" in pages[-1]
    assert pages[-1].count("<figure") == 4 and "default-src 'none'" in pages[-1]
    last = (lab.path / "p/x.html").read_text()
    assert "refresh" not in last
    assert lab("report tiny digits-baseline --out y.html").code == 0
    assert last == (lab.path / "y.html").read_text()


def test_a_sweep_ends_as_its_report_and_not_as_that_of_its_confirmation(lab: Lab) -> None:
    assert lab("sweep tiny.yaml --rates 0.2,0.5 --seeds 3 --confirm --live-page s.html").code == 0
    assert "<title>Sweep tiny-sweep" in (lab.path / "s.html").read_text()


def test_a_page_that_cannot_be_written_is_noted_once_and_costs_no_training(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr(live_page, "atomic_write", full)
    monkeypatch.setattr(live_page, "EVERY", 0.0)
    outcome = lab("train tiny.yaml --live-page x.html")
    assert outcome.code == 0 and outcome.err.count("no space") == 1
    assert "refresh" not in (lab.path / "x.html").read_text(), "the disk has space again at the end"


@pytest.mark.parametrize("name", ["x.txt", "configs"])
def test_a_page_has_the_name_of_a_page(name: str, lab: Lab) -> None:
    outcome = lab(f"train tiny.yaml --live-page {name}")
    assert outcome.code == 2 and "--live-page: must be a file that ends in .html" in outcome.err
