"""The plan of the work: which networks train side by side, in how many processes, and whether memory will do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Lab
from variants import VARIANTS
from variants import config as variant

from dropout_lab import cost
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.data import datasets as data
from dropout_lab.errors import Refused
from dropout_lab.execution import machine
from dropout_lab.execution.layout import layout
from dropout_lab.execution.machine import GIB
from dropout_lab.execution.units import (
    MOST_LANES,
    MOST_LANES_CUDA,
    Task,
    group,
    lane_key,
    plan,
    suitable_lanes,
)
from dropout_lab.runs.job import Job


def config(seeds: Iterable[int] = (0,), **sections: Any) -> Config:
    mapping = {"data": {"dataset": "digits"}, "network": {"hidden": [16]}, **sections, "seeds": list(seeds)}
    return configs.resolve(mapping, where="test", name="run")


def mnist(hidden: list[int], **training: Any) -> Config:
    return config(data={"dataset": "mnist"}, network={"hidden": hidden}, training=training)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine on which the constants were measured: 2 cores that share 32 MiB of cache, 20 GiB free."""
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "cache_per_core", lambda: 8 * 2**20)
    monkeypatch.setattr(machine, "available_memory", lambda: 20 * GIB)


def test_units_share_a_lane_key_and_a_first_epoch(tmp_path: Path) -> None:
    one, other = (Job(tmp_path / name, config(range(20), dropout={"rate": r})) for name, r in (("a", 0.1), ("b", 0.2)))
    deep = Job(tmp_path / "c", config(range(3), network={"hidden": [16, 16]}))
    units = plan([one, deep, other], lanes=8)
    assert [len(unit) for unit in units] == [8, 8, 8, 8, 8, 3]
    assert {task for unit in units[:5] for task in unit} == {Task(job, s) for job in (one, other) for s in range(20)}
    assert units[5] == tuple(Task(deep, seed) for seed in range(3))
    started = group((Task(one, seed), seed % 2) for seed in range(5))
    assert [[task.seed for task in unit] for unit in started] == [[0, 2, 4], [1, 3]]
    assert plan([]) == group([]) == []


def test_lanes_must_share_all_but_rates_and_streams() -> None:
    assert len({lane_key(variant(streams=own)) for own in ({}, {"init": 1}, {"order": 0, "masks": 2})}) == 1
    assert len({lane_key(variant(dropout={"rate": rate})) for rate in (0, 0.5, [0.1, 0.2])}) == 1
    widened = {"network": {"hidden": [12, 24], "widen": True}}
    assert len({lane_key(variant(widened | {"dropout": {"rate": rate}})) for rate in (0, 0.25, 0.5)}) == 3
    plain = {"network": {"hidden": [24, 48]}, "dropout": {"rate": 0.3}}
    assert lane_key(variant(widened | {"dropout": {"rate": 0.5}})) == lane_key(variant(plain))  # one shape
    connected = [
        lane_key(variant(dropout={"kind": "dropconnect", "rate": rate})) for rate in (0, 0.2, [0.5, 0.1], [0, 0.1])
    ]
    assert connected[1] == connected[2] and len(set(connected)) == 3  # a layer is computed otherwise at rate 0
    others = [variant(VARIANTS[name]) for name in VARIANTS]
    assert len({lane_key(other) for other in others}) == len(others)


def test_lanes_of_one_seed_come_together_and_few_runs_are_open_at_once(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{n}", config(range(4), dropout={"rate": n / 100})) for n in range(12)]
    units = plan(jobs, lanes=4)
    assert all(len({task.seed for task in unit}) == 1 for unit in units) and len(units) == 12
    spans = [[number for number, unit in enumerate(units) if any(t.job == job for t in unit)] for job in jobs]
    assert all(span == list(range(span[0], span[0] + 4)) for span in spans)  # open for 4 units of 12, with 3 others


@pytest.mark.parametrize("lanes", [1, 3, 4, 16])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 24])
def test_units_are_of_nearly_one_size_and_shared_evenly(tmp_path: Path, count: int, workers: int, lanes: int) -> None:
    units = plan([Job(tmp_path / "run", config(range(count)))], workers, lanes)
    sizes = [len(unit) for unit in units]
    assert sum(sizes) == count and max(sizes) <= lanes and max(sizes) - min(sizes) <= 1
    assert len(units) % workers == 0 or len(units) == count


def test_a_plan_of_a_thousand_jobs_is_quick_and_changes_nothing(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"run-{n}", config(range(3), dropout={"rate": n / 1000})) for n in range(1000)]
    started = time.process_time()
    assert sum(map(len, plan(jobs))) == 3000
    assert time.process_time() - started < 2 and not list(tmp_path.iterdir())


def test_small_networks_have_many_lanes_and_large_ones_one(measured: None) -> None:
    """Those that measured fastest: docs/log.md."""
    chosen = [suitable_lanes(mnist([width, width])) for width in (16, 64, 128, 256, 512, 2048)]
    assert chosen == [MOST_LANES, 10, 4, 2, 1, 1]
    assert suitable_lanes(mnist([128, 128]), "cuda") == MOST_LANES_CUDA


def test_a_process_must_have_enough_to_do(measured: None) -> None:
    large = mnist([1024, 1024], epochs=10)
    assert layout([(config(), 5)]).processes == 1
    assert layout([(large, 5)]).processes == 2
    assert layout([(large, 1)]).processes == 1
    assert layout([(config(), 5)], workers=3, lanes=2) == layout([(config(), 6)], workers=3, lanes=2)
    assert layout([(large, 5)], "cuda").processes == 1


def test_masks_of_all_weights_for_every_example_must_fit(measured: None) -> None:
    """784-800-800-10, batches of 100: 100 masks of 1,267,200 weights, 4 to 7 times, are 2.6 GiB; of 4000, 42 GiB."""
    dropconnect = {"kind": "dropconnect", "mask": "example"}

    def wanted(width: int, **more: str) -> list[tuple[Config, int]]:
        changes = {"network": {"hidden": [width, width]}, "training": {"batch_size": 100}}
        return [(config(data={"dataset": "mnist"}, dropout=dropconnect | more, **changes), 1)]

    small = layout(wanted(800)).memory
    assert 2.5 * GIB < small - layout(wanted(800, mask="batch")).memory < 2.7 * GIB
    one, sixteen = (
        cost.memory(
            config(
                network={"hidden": [2000, 2000]}, dropout=dropconnect | {"rate": rate}, training={"batch_size": size}
            ),
            1,
        )
        for rate, size in (([0.5, 0.5], 1), ([0.5, 0.5], 16))
    )
    assert 2.2e9 < one <= sixteen < 2.8e9  # 2.4 GB were measured with one image a step, 2.3 with sixteen
    assert cost.memory(config(network={"hidden": [2000, 2000]}, dropout=dropconnect | {"rate": 0}), 1) < 1.5e9
    with pytest.raises(Refused, match=r"free memory: .* or for dropout.mask=batch: every example has a mask of all w"):
        layout(wanted(4000))
    assert layout(wanted(4000, mask="batch")).memory < 3 * GIB


def test_fewer_processes_where_memory_is_short_and_a_refusal_where_it_will_not_do(
    measured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [(mnist([2048, 2048]), 8)]
    one, two = layout(wanted, workers=1).memory, layout(wanted, workers=2).memory
    assert one < two and layout(wanted).processes == 2
    monkeypatch.setattr(machine, "available_memory", lambda: (one + two) // 2)
    assert layout(wanted).processes == 1
    with pytest.raises(
        Refused, match=r"free memory: is too little for this plan \(2 processes, 1 thread each, one network at a time"
    ):
        layout(wanted, workers=2)
    monkeypatch.setattr(machine, "available_memory", lambda: one - 1)
    with pytest.raises(Refused, match="1 process"):
        layout(wanted)


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 2**20)
    for command in "train tiny.yaml", "train tiny.yaml --dry-run", "sweep tiny.yaml --rates 0.5 --lanes 2":
        outcome = lab(command)
        assert outcome.code == 2 and outcome.err.count("dropout-lab: error: this machine: free memory: is too") == 1
    assert not (lab.path / "runs").exists()


def test_dimensions_of_own_data_follow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    for count in 20, 30:
        images, labels = np.zeros((count, 4, 5), np.uint8), np.arange(count, dtype=np.uint8) % 3
        np.savez(path, x_train=images, y_train=labels, x_test=images[:5], y_test=labels[:5])
        assert data.dimensions(str(path)) == (count, 5, 20, 3, 0)


MEASURED = """
import sys
from pathlib import Path
from dropout_lab.config import resolve as configs
from dropout_lab.execution.execute import execute
from dropout_lab.execution.sources import Here
from dropout_lab.runs.job import Job
config = configs.load(Path(sys.argv[1]), [])
job = Job(Path(sys.argv[2]), config)
for _ in execute([job], Here(Path(sys.argv[2]))):
    pass
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(int(peak) * 1024)  # not ru_maxrss, which begins with that of the process that started this one
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("hidden, seeds", [([64], 1), ([1000, 1000], 2)])
def test_the_memory_promised_is_about_the_memory_taken(hidden: list[int], seeds: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20_000, 28, 28), np.uint8), rng.integers(0, 10, 20_000, np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels)
    wanted = config(
        range(seeds), data={"dataset": str(tmp_path / "own.npz")}, network={"hidden": hidden},
        training={"epochs": 1, "batch_size": 500},
    )  # fmt: skip
    (tmp_path / "run.yaml").write_text(configs.to_yaml(wanted))
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "run.yaml"), str(tmp_path / "run")]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 0.6 * peak < cost.memory(wanted, min(seeds, suitable_lanes(wanted))) < 2 * peak


def test_the_longest_units_come_first_for_workers(tmp_path: Path) -> None:
    """Else one of them may be left to one worker at the end, the others idle."""
    jobs = [Job(tmp_path / f"{width}", mnist([width])) for width in (16, 2048, 64, 512)]
    assert [unit[0].job.config.network.hidden[0] for unit in plan(jobs, workers=2)] == [2048, 512, 64, 16]
    assert [unit[0].job.config.network.hidden[0] for unit in plan(jobs)] == [16, 2048, 64, 512]


def test_a_network_with_a_single_unit_trains_alone(tmp_path: Path) -> None:
    for hidden, most in ([1], 1), ([16, 1], 1), ([16, 2], 4):
        units = plan([Job(tmp_path / "run", config(range(4), network={"hidden": hidden}))], lanes=4)
        assert max(map(len, units)) == most
    assert layout([(config(range(4), network={"hidden": [16, 1]}), 4)], lanes=4).lanes == 1


def test_the_cache_is_shared_by_those_cpus_that_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MiB shared by 8 CPUs are 4 MiB each, of which half counts, on a machine of any number of CPUs."""
    monkeypatch.setattr(machine, "CACHES", tmp_path)
    for index, (size, cpus) in enumerate((("48K", "0"), ("1024K", "0,64"), ("32768K", "0-3,64-67"))):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}/size").write_text(size + "\n")
        (tmp_path / f"index{index}/shared_cpu_list").write_text(cpus + "\n")
    assert machine.cache_per_core() == 2 * 2**20


def test_input_dropout_takes_memory_for_every_pixel() -> None:
    """784-64, 4 lanes, batches of 50,000: 5.0 GB were measured at the peak, 1.9 without input dropout."""
    large = {"data": {"dataset": "mnist"}, "network": {"hidden": [64]}, "training": {"batch_size": 50_000}}
    without, dropped = (cost.memory(config(dropout={"input_rate": rate}, **large), 4) for rate in (0.0, 0.2))
    assert 1.7e9 < without < 2.3e9 and 4e9 < dropped < 5.5e9
