"""Data sets as tensors: the laws of registry, scales and splits, on real MNIST, digits and generated sets."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from generated import arrays, install, refused, save, shrink, tree

from dropout_lab.data import datasets as data
from dropout_lab.data.datasets import DATASETS
from dropout_lab.data.idx import FILES, IdxSet
from dropout_lab.data.scale import SCALES
from dropout_lab.data.split import noisy, split
from dropout_lab.errors import Refused

MEASURED = ("wine", "breast-cancer")
MNIST_TAIL_LABELS = [587, 630, 600, 627, 595, 549, 571, 668, 597, 576]


# ---------------------------------------------------------------------------------------------------- the registry


@pytest.fixture(params=sorted(DATASETS))
def dataset(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """Every entry that can be loaded offline: digits, and the IDX sets from generated files of the full format."""
    name: str = request.param
    if isinstance(DATASETS[name], IdxSet):
        contents = shrink(monkeypatch)
        install(contents, tmp_path, DATASETS[name].folder)
    return name, tmp_path


@pytest.fixture
def images(dataset: tuple[str, Path]) -> tuple[str, Path]:
    """Every entry with images."""
    if dataset[0] in MEASURED:
        pytest.skip("these are measurements")
    return dataset


def test_every_entry_keeps_its_promise(dataset: tuple[str, Path]) -> None:
    name, directory = dataset
    entry = DATASETS[name]
    assert entry.name == name
    measured = name in MEASURED
    loaded = data.load(name, "standardize" if measured else "unit", directory)
    features = math.prod(entry.shape)
    assert loaded.images.shape == (entry.train_count, features)
    assert loaded.test_images.shape == (entry.test_count, features)
    assert loaded.shape == entry.shape
    for images, labels in ((loaded.images, loaded.labels), (loaded.test_images, loaded.test_labels)):
        assert images.dtype == torch.float32 and images.is_contiguous()
        assert labels.dtype == torch.int64 and labels.is_contiguous() and len(labels) == len(images)
        assert measured or (images.min() == 0 and images.max() == 1)
        assert sorted(set(labels.tolist())) == list(range(loaded.classes)) == list(range(entry.classes))
    assert all(report.ok and report.sha256 for report in data.verify(name, directory))


@pytest.mark.parametrize("scale", SCALES)
def test_the_digest_is_of_the_raw_arrays(dataset: tuple[str, Path], scale: str) -> None:
    name, directory = dataset
    if name not in MEASURED or scale == "standardize":
        assert data.load(name, scale, directory).sha256 == data.sha256_now(name, directory)


def test_the_registry_has_the_documented_sets() -> None:
    counts = {name: (entry.train_count, entry.test_count, entry.shape) for name, entry in DATASETS.items()}
    idx_set = (60_000, 10_000, (28, 28))
    bundled = {"digits": (1437, 360, (8, 8)), "wine": (143, 35, (13,)), "breast-cancer": (456, 113, (30,))}
    assert counts == {"mnist": idx_set, "fashion-mnist": idx_set, "kmnist": idx_set} | bundled
    assert [entry.folder for entry in DATASETS.values() if isinstance(entry, IdxSet)] == [
        "MNIST",
        "FashionMNIST",
        "KMNIST",
    ]


def test_the_registry_imports_nothing_heavy() -> None:
    heavy = "torch", "numpy", "torchvision", "sklearn", "scipy", "pandas"
    script = f"import sys, dropout_lab.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("dataset", "hint"), [("mnits", ", did you mean mnist?"), ("kmnist2", ", did you mean kmnist?"), ("no/such", "")]
)
@pytest.mark.parametrize("action", [partial(data.load, scale="unit"), data.fetch, data.verify])
def test_an_unknown_name_is_refused(dataset: str, hint: str, action: Callable[..., object], tmp_path: Path) -> None:
    with refused(tmp_path) as lines:
        action(dataset, directory=tmp_path)
    rule = f"must be one of mnist, fashion-mnist, kmnist, digits, wine, breast-cancer or {data.OWN}"
    assert lines == [f"command line: data.dataset: {rule}{hint} (got {dataset})"]


# ------------------------------------------------------------------------------------------------------ the digits


def test_digits_are_scikit_learns_in_file_order() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    digits = data.load("digits", "unit", Path("unused"))
    assert digits.classes == 10
    assert np.array_equal(torch.cat([digits.images, digits.test_images]).numpy() * 16, bunch.data)
    assert np.array_equal(torch.cat([digits.labels, digits.test_labels]).numpy(), bunch.target)
    assert digits.sha256 == "752028dc7d14e92bdad4889e392d57a2c927d58afb745b00edf3722836c06cfb"


def test_digits_need_no_folder_and_no_download(tmp_path: Path) -> None:
    before = tree(tmp_path)
    path = data.fetch("digits", tmp_path / "nowhere")
    assert path.is_file()
    assert [report.path for report in data.verify("digits", tmp_path / "nowhere")] == [path]
    assert tree(tmp_path) == before


# ------------------------------------------------------------------------------------------------------ real MNIST


@pytest.fixture(scope="module")
def mnist_raw(mnist_directory: Path) -> np.ndarray:
    content = (mnist_directory / "MNIST" / "raw" / FILES[0]).read_bytes()
    return np.frombuffer(content, np.uint8, offset=16).reshape(60_000, 28, 28)


def test_mnist_tail_split_is_that_of_keras(mnist_directory: Path) -> None:
    mnist = data.load("mnist", "unit", mnist_directory)
    train, validation = split(60_000, 0.1, "tail", None, seed=0)
    assert (len(train), len(validation)) == (54_000, 6_000)
    assert torch.bincount(mnist.labels[validation]).tolist() == MNIST_TAIL_LABELS
    assert round(mnist.images.mean().item(), 3) == 0.131
    assert mnist.sha256 == "b24b06c7f82492e214276c2737bd1c19b067ff2fe97fe31e21e38ce0cb76fc42"


def test_mnist_column_l2_is_keras_normalize(mnist_directory: Path, mnist_raw: np.ndarray) -> None:
    scaled = data.load("mnist", "column-l2", mnist_directory).images.view(60_000, 28, 28).numpy()
    assert round(float(scaled.mean(dtype=np.float64)), 3) == 0.054
    for part in (slice(0, 2000), slice(-2000, None)):
        x = mnist_raw[part].astype(np.float32)  # keras.utils.normalize(x, axis=1), as it is written there:
        norm = np.atleast_1d(np.linalg.norm(x, 2, 1))
        norm[norm == 0] = 1
        assert np.array_equal(scaled[part], x / np.expand_dims(norm, 1))


def test_mnist_verifies(mnist_directory: Path) -> None:
    reports = data.verify("mnist", mnist_directory)
    assert [report.path for report in reports] == [mnist_directory / "MNIST" / "raw" / name for name in FILES]
    assert tuple(report.sha256 for report in reports) == data.MNIST_SHA256
    assert data.fetch("mnist", mnist_directory) == mnist_directory / "MNIST" / "raw"


def test_mnist_is_loaded_in_little_memory(mnist_directory: Path) -> None:
    """Beyond what importing torch takes: the float32 images (220 MB), the files (55 MB) and small change."""
    script = (
        "import resource, sys, torch; from pathlib import Path; from dropout_lab.data import datasets as data;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak();"
        "data.load('mnist', 'column-l2', Path(sys.argv[1])); print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(mnist_directory)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 320 * 1024


# ---------------------------------------------------------------------------------------------------------- scales


def test_column_l2_gives_every_inked_column_the_norm_one(images: tuple[str, Path]) -> None:
    name, directory = images
    raw, scaled = data.load(name, "unit", directory), data.load(name, "column-l2", directory)
    for before, after in ((raw.images, scaled.images), (raw.test_images, scaled.test_images)):
        inked = before.view(-1, *raw.shape).sum(dim=1) > 0
        norms = after.view(-1, *raw.shape).norm(dim=1)
        torch.testing.assert_close(norms, inked.float(), rtol=0, atol=1e-6)


def test_standardize_knows_the_training_images_only(images: tuple[str, Path]) -> None:
    name, directory = images
    raw, scaled = data.load(name, "unit", directory), data.load(name, "standardize", directory)
    training = raw.images[: int(len(raw.images) * 0.9)].double()  # the last tenth validates
    mean, deviation = training.mean(0), training.std(0, correction=0)
    constant = (training == training[0]).all(0)
    for before, after in ((raw.images, scaled.images), (raw.test_images, scaled.test_images)):
        assert not after[:, constant].any() and not after[:, constant].isnan().any()
        expected = (before.double() - mean) / deviation
        torch.testing.assert_close(after[:, ~constant].double(), expected[:, ~constant], rtol=1e-4, atol=1e-5)
    mine = scaled.images[: len(training), ~constant].double()
    assert mine.mean(0).abs().max() < 1e-5 and (mine.std(0, correction=0) - 1).abs().max() < 1e-5


def test_a_feature_that_is_constant_in_training_is_0_whatever_it_is_later() -> None:
    train, test = np.float32([[1, 0.1], [3, 0.1], [3, 9]]), np.float32([[2, 9]])  # the last row validates
    SCALES["standardize"](train, test, 1, np.arange(2))
    assert train.tolist() == [[-1, 0], [1, 0], [1, 0]] and test.tolist() == [[0, 0]]


def test_scales_do_not_depend_on_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {scale: data.load("digits", scale, tmp_path).images for scale in SCALES}
    monkeypatch.setattr("dropout_lab.data.scale.CHUNK", 7)
    for scale, images in whole.items():
        torch.testing.assert_close(data.load("digits", scale, tmp_path).images, images, rtol=1e-6, atol=0)


def test_scales_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz", **arrays(shape=(12,)))
    with refused(tmp_path) as lines:
        data.load(path, "column-l2", tmp_path)
    reason = "column-l2 needs images with a height and a width; use unit or standardize"
    assert lines == [f"{path}: data.scale: {reason} (got column-l2)"]
    path = save(tmp_path / "own.npz", **{**arrays(), "x_train": np.full((30, 4, 3), 7, np.uint8)})
    with refused(tmp_path) as lines:
        data.load(path, "standardize", tmp_path)
    reason = "standardize needs training images that are not all the same"
    assert lines == [f"{path}: data.scale: {reason} (got standardize)"]


# ---------------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("how", ["tail", "random"])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.3, 1 / 3, 0.5])
@pytest.mark.parametrize("count", [10, 1437, 60_000])
def test_a_split_is_disjoint_complete_and_repeatable(how: str, fraction: float, count: int) -> None:
    train, validation = split(count, fraction, how, None, seed=3)
    assert train.dtype == validation.dtype == torch.int64
    assert len(train) == int(np.floor(count * (1 - fraction)))
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(count))
    assert torch.equal(validation, validation.sort().values)
    for ours, again in zip((train, validation), split(count, fraction, how, None, seed=3), strict=True):
        assert torch.equal(ours, again)


def test_a_tail_split_is_in_order_and_has_no_seed() -> None:
    train, validation = split(10, 0.3, "tail", None, seed=0)
    assert (train.tolist(), validation.tolist()) == ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])
    assert torch.equal(split(10, 0.3, "tail", None, seed=1)[0], train)


def test_a_random_split_depends_on_the_seed_only() -> None:
    validations = [tuple(split(100, 0.2, "random", None, seed)[1].tolist()) for seed in range(5)]
    assert len(set(validations)) == 5
    assert tuple(split(100, 0.2, "random", 10, seed=0)[1].tolist()) == validations[0]


@pytest.mark.parametrize("how", ["tail", "random"])
def test_train_size_keeps_the_first_training_images(how: str) -> None:
    train, validation = split(100, 0.2, how, None, seed=0)
    fewer, same = split(100, 0.2, how, 30, seed=0)
    assert torch.equal(fewer, train[:30]) and torch.equal(same, validation)
    assert torch.equal(split(100, 0.2, how, 80, seed=0)[0], train)


@pytest.mark.parametrize("how", ["tail", "random"])
def test_a_random_subset_is_its_seeds_own_and_holds_the_smaller_ones(how: str) -> None:
    train, validation = split(100, 0.2, how, None, seed=0)
    subsets = []
    for seed in range(4):
        large, same = split(100, 0.2, how, 30, seed, train_from="random")
        small, _ = split(100, 0.2, how, 10, seed, train_from="random")
        assert torch.equal(small, large[:10]) and len(set(large.tolist())) == 30
        assert not {*large.tolist()} & {*same.tolist()}
        subsets.append(frozenset(large.tolist()))
    assert len(set(subsets)) == 4 and subsets[0] <= {*train.tolist()}
    assert torch.equal(split(100, 0.2, how, 30, 0, train_from="random")[1], validation)
    everything, _ = split(100, 0.2, how, None, 0, train_from="random")
    assert torch.equal(everything.sort().values, train.sort().values)


def test_noise_replaces_exactly_its_share_of_the_training_labels_by_other_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (20_000,), generator=generator)
    indices = [torch.arange(15_000), torch.arange(15_000)]
    before, replaced = labels.clone(), {}
    for fraction in (0.0, 0.2, 0.5, 1.0):
        changed = noisy(labels, indices, fraction, 10, [0, 1])
        replaced[fraction] = changed != labels
        assert changed.shape == (2, 20_000) and (replaced[fraction].sum(1) == round(15_000 * fraction)).all()
        assert not replaced[fraction][:, 15_000:].any()  # validation is not touched
        assert changed.min() >= 0 and changed.max() <= 9
    assert torch.equal(labels, before)
    assert (replaced[0.2] <= replaced[0.5]).all() and not torch.equal(replaced[0.5][0], replaced[0.5][1])
    shifts = ((noisy(labels, indices, 1.0, 10, [0, 1])[0] - labels) % 10)[:15_000]
    counts = torch.bincount(shifts, minlength=10)[1:].double()
    assert (counts - 15_000 / 9).abs().max() < 5 * (15_000 * 8 / 81) ** 0.5  # no class is favoured
    alone = noisy(labels, indices[1:], 0.5, 10, [1])
    assert torch.equal(alone[0], noisy(labels, indices, 0.5, 10, [0, 1])[1])


def test_an_impossible_split_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        split(100, 0.2, "tail", 81, seed=0)
    reason = "must be null or a whole number from 1 to 80, the training images that validation leaves"
    assert str(caught.value) == f"config: data.train_size: {reason} (got 81)"
    reason = "must leave some of 3 images to train on, and some to validate"
    for fraction in (0.9, 0.0):
        with pytest.raises(Refused) as caught:
            split(3, fraction, "tail", None, seed=0)
        assert str(caught.value) == f"config: data.validation_fraction: {reason} (got {fraction})"


# ------------------------------------------------------------------------------------------------------- directory


def test_directory_is_the_option_then_the_variable_then_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("DROPOUT_LAB_DATA", "~/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data.directory(Path("here")) == Path("here")
    assert data.directory(None) == Path("/home/someone/data")
    monkeypatch.setenv("DROPOUT_LAB_DATA", "")
    assert data.directory(None) == Path("/cache/dropout-lab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.directory(None) == Path("/home/someone/.cache/dropout-lab")
