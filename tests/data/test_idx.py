"""IDX sets: corrupt files are refused, and downloads go through torchvision's own code, from a local server."""

from __future__ import annotations

import errno
import gc
import gzip
import hashlib
import http.server
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torchvision
from commandline import ordinary_user
from generated import IDX_SETS, changed, install, refused, shrink, tree
from mutated import damage

from dropout_lab.data import datasets as data
from dropout_lab.data import idx
from dropout_lab.data.datasets import DATASETS
from dropout_lab.data.idx import FILES, SUMS
from dropout_lab.errors import Failed, Refused


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    return shrink(monkeypatch)


# ------------------------------------------------------------------------------------------------- corrupt IDX files


CORRUPTIONS = {
    "cut": (FILES[0], lambda c: c[:-1], "is cut short: 47055 of 47056 bytes"),
    "empty": (FILES[2], lambda c: b"", "is cut short: 0 of 15696 bytes"),
    "longer": (FILES[1], lambda c: c + b"\0", "goes on after 68 bytes"),
    "magic": (FILES[0], lambda c: changed(c, 3, b"\1"), "begins with the magic number 2049 instead of 2051"),
    "count": (FILES[3], lambda c: changed(c, 7, b"\x15"), "says that it holds 21 instead of 20"),
    "width": (FILES[0], lambda c: changed(c, 15, b"\x1b"), "says that it holds 60 x 28 x 27 instead of 60 x 28 x 28"),
    "label": (FILES[1], lambda c: changed(c, 20, b"\x0b"), "holds the label 11; labels go from 0 to 9"),
}


@pytest.mark.parametrize("name", IDX_SETS)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corrupt_file_is_refused_by_name(name: str, corruption: str, small: dict[str, bytes], tmp_path: Path) -> None:
    file, corrupt, wrong = CORRUPTIONS[corruption]
    path = install(small, tmp_path, DATASETS[name].folder) / file
    path.write_bytes(corrupt(small[file]))
    with refused(tmp_path) as lines:
        data.load(name, "unit", tmp_path)
    start = f"{path}: {name}: {wrong}; `dropout-lab data fetch {name}` downloads it anew (got "
    assert len(lines) == 1 and lines[0].startswith(start)
    reports = {report.path: report.problem for report in data.verify(name, tmp_path)}
    assert reports.pop(path) == wrong
    assert set(reports.values()) == {None}


def test_every_corrupt_file_is_named_at_once(small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "MNIST")
    for name in FILES:
        (raw / name).write_bytes(small[name][:-5])
    with refused(tmp_path) as lines:
        data.load("mnist", "unit", tmp_path)
    assert [line.split(":")[0] for line in lines] == [str(raw / name) for name in FILES]


@pytest.mark.parametrize(("name", "sums"), [("mnist", False), ("kmnist", True)])
def test_no_flipped_bit_and_no_cut_is_overlooked(
    name: str, sums: bool, small: dict[str, bytes], tmp_path: Path
) -> None:
    """300 single-bit flips and 100 truncations, with the digests in the registry and with those in SHA256SUMS."""
    draw = random.Random(0)
    raw = install(small, tmp_path, DATASETS[name].folder, sums)
    assert all(report.ok for report in data.verify(name, tmp_path))
    for trial in range(400):
        file = draw.choice(FILES)
        (raw / file).write_bytes(damage(draw, small[file], cut=trial >= 300))
        assert [report.path for report in data.verify(name, tmp_path) if not report.ok] == [raw / file]
        with pytest.raises(Refused):
            DATASETS[name].read(tmp_path)
        (raw / file).write_bytes(small[file])


def test_files_put_there_by_hand_are_held_to_their_structure(small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "KMNIST")
    (raw / FILES[0]).write_bytes(changed(small[FILES[0]], 100, b"??"))
    assert data.load("kmnist", "unit", tmp_path).images.shape == (60, 784)


@pytest.mark.parametrize(
    ("sums", "wrong"),
    [
        ("", "has no readable line in the SHA256SUMS beside it"),
        ("0" * 64 + "  " + FILES[0], "differs from the published file (SHA-256)"),
        ("0" * 64 + " *" + FILES[0], "differs from the published file (SHA-256)"),
        ("\0\xff nonsense", "has no readable line in the SHA256SUMS beside it"),
    ],
)
def test_sha256sums_bind(sums: str, wrong: str, small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "KMNIST")
    (raw / SUMS).write_text(sums, encoding="latin-1")
    with refused(tmp_path) as lines:
        data.load("kmnist", "unit", tmp_path)
    assert lines[0].startswith(f"{raw / FILES[0]}: kmnist: {wrong}; ")


def test_sha256sums_have_the_format_of_sha256sum(small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "KMNIST", sums=True)
    assert subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=raw, check=False).returncode == 0
    for flag in ("--binary", "--text"):
        done = subprocess.run(["sha256sum", flag, *FILES], cwd=raw, capture_output=True, check=True)
        (raw / SUMS).write_bytes(done.stdout)
        assert all(report.ok for report in data.verify("kmnist", tmp_path))


def test_a_folder_or_a_pipe_in_place_of_a_file_is_refused(small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "MNIST")
    (raw / FILES[0]).unlink()
    (raw / FILES[0]).mkdir()
    (raw / FILES[1]).unlink()
    os.mkfifo(raw / FILES[1])
    with refused(tmp_path) as lines:
        data.load("mnist", "unit", tmp_path)
    assert [line.split(": ")[2].split(";")[0] for line in lines] == ["is not a file", "is not a file"]


# -------------------------------------------------------------------------------------------------------- downloads


class Mirror:
    """A web server on 127.0.0.1 with the four packed files of every set, as torchvision's mirrors have them.

    `respond` may be replaced to misbehave: it gets the handler and the bytes that an honest server would send.
    """

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.packed = {f"/{name}.gz": gzip.compress(content, mtime=0) for name, content in contents.items()}
        self.requests: list[str] = []
        self.respond: Callable[[Any, bytes], None] = self.send
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                mirror.respond(self, mirror.packed[self.path])

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None: ...  # a client that hung up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    @staticmethod
    def send(handler: Any, body: bytes, length: int | None = None) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    def resources(self) -> list[tuple[str, str]]:
        return [(path[1:], hashlib.md5(body, usedforsecurity=False).hexdigest()) for path, body in self.packed.items()]


@pytest.fixture
def mirror(small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror(small)
    for name in IDX_SETS:
        published = getattr(torchvision.datasets, DATASETS[name].folder)
        monkeypatch.setattr(published, "mirrors", [mirror.url])
        monkeypatch.setattr(published, "resources", mirror.resources())
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


def offline_line(name: str, directory: Path, cause: str) -> str:
    folder = DATASETS[name].folder
    return (
        f"{directory / folder / 'raw'}: {name}: cannot be downloaded; put train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (unpacked) into this folder, or "
        f"name the folder that holds {folder}/raw with --data-dir or DROPOUT_LAB_DATA, or go on with "
        f"data.dataset=digits, which is bundled (got {cause})"
    )


@pytest.mark.parametrize("name", IDX_SETS)
def test_missing_files_are_downloaded_once(
    name: str, mirror: Mirror, small: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "new" / "data"
    loaded = data.load(name, "unit", directory)
    raw = directory / DATASETS[name].folder / "raw"
    assert capsys.readouterr() == ("", f"downloading {name} to {raw}\n")
    assert loaded.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    pinned = name == "mnist"
    assert sorted(path.name for path in raw.iterdir()) == sorted(FILES if pinned else [*FILES, SUMS])
    assert [path.name for path in directory.iterdir()] == [DATASETS[name].folder]
    assert {file: (raw / file).read_bytes() for file in FILES} == small

    before, asked = tree(tmp_path), len(mirror.requests)
    assert data.fetch(name, directory) == raw
    assert data.load(name, "unit", directory).sha256 == loaded.sha256
    assert (tree(tmp_path), len(mirror.requests)) == (before, asked)
    assert capsys.readouterr() == ("", "")

    if not pinned:
        (raw / FILES[0]).write_bytes(changed(small[FILES[0]], 100, b"??"))
        with refused(tmp_path):
            data.load(name, "unit", directory)


def test_fetch_replaces_what_is_corrupt(mirror: Mirror, small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "KMNIST", sums=True)
    (raw / FILES[0]).write_bytes(b"broken")
    (raw / "notes.txt").write_text("mine")
    assert data.fetch("kmnist", tmp_path) == raw
    assert all(report.ok for report in data.verify("kmnist", tmp_path))
    assert (raw / "notes.txt").read_text() == "mine"


def test_load_never_replaces_what_is_corrupt(mirror: Mirror, small: dict[str, bytes], tmp_path: Path) -> None:
    raw = install(small, tmp_path, "KMNIST")
    (raw / FILES[0]).write_bytes(b"perhaps mine")
    (raw / FILES[1]).unlink()
    with refused(tmp_path) as lines:
        data.load("kmnist", "unit", tmp_path)
    assert [line.split(":")[0] for line in lines] == [str(raw / FILES[0])]
    assert mirror.requests == []


@pytest.mark.parametrize("there", [(), FILES[:3]])
@pytest.mark.parametrize("action", [partial(data.load, scale="unit"), data.fetch])
def test_without_a_network_the_message_says_how_to_go_on(
    there: tuple[str, ...], action: Callable[..., object], mirror: Mirror, small: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{unused.getsockname()[1]}/"])
        if there:
            install({name: small[name] for name in there}, tmp_path, "MNIST")
        directory = tmp_path if there else tmp_path / "new" / "data"
        with refused(tmp_path) as lines:
            action("mnist", directory=directory)
    assert lines == [offline_line("mnist", directory, "<urlopen error [Errno 111] Connection refused>")]


def cut(handler: Any, body: bytes) -> None:
    Mirror.send(handler, body[: len(body) // 2], length=len(body))


def other_bytes(handler: Any, body: bytes) -> None:
    Mirror.send(handler, body[:-1] + b"!")


def gone(handler: Any, body: bytes) -> None:
    handler.send_error(404)


def hang_up(handler: Any, body: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("respond", "cause"),
    [
        (cut, "File not found or corrupted."),
        (other_bytes, "File not found or corrupted."),
        (gone, "HTTP Error 404: Not Found"),
        (hang_up, "Remote end closed connection without response"),
    ],
)
def test_a_failed_download_leaves_nothing(
    respond: Callable[[Any, bytes], None], cause: str, mirror: Mirror, tmp_path: Path
) -> None:
    def last_file(handler: Any, body: bytes) -> None:  # the other three arrive
        (respond if FILES[3] in handler.path else Mirror.send)(handler, body)

    mirror.respond = last_file
    with refused(tmp_path) as lines:
        data.load("kmnist", "unit", tmp_path / "new")
    assert lines == [offline_line("kmnist", tmp_path / "new", cause)]
    if respond is gone:  # torchvision leaves the response to an HTTP error open; collect it here, not in a later test
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def test_a_silent_server_is_given_up(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    mirror.respond = lambda handler, body: over.wait(10) and None
    monkeypatch.setattr(idx, "TIMEOUT", 0.1)
    with refused(tmp_path) as lines:
        data.fetch("kmnist", tmp_path)
    over.set()
    assert lines == [offline_line("kmnist", tmp_path, "timed out")]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("name", "damage", "wrong"),
    [
        ("mnist", lambda c: changed(c, 100, b"??"), "differs from the published file (SHA-256)"),
        ("kmnist", lambda c: changed(c, 7, b"\x3b")[:-784], "says that it holds 59 x 28 x 28 instead of 60 x 28 x 28"),
    ],
)
def test_a_download_with_the_right_md5_is_still_verified(
    name: str, damage: Callable[[bytes], bytes], wrong: str, mirror: Mirror, small: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mirror.packed[f"/{FILES[0]}.gz"] = gzip.compress(damage(small[FILES[0]]))
    monkeypatch.setattr(getattr(torchvision.datasets, DATASETS[name].folder), "resources", mirror.resources())
    with refused(tmp_path) as lines:
        data.fetch(name, tmp_path)
    cause = f"{FILES[0]} {wrong}"
    assert lines == [offline_line(name, tmp_path, cause if len(cause) <= 60 else cause[:57] + "...")]


def test_downloads_at_once_wait_for_the_first(mirror: Mirror, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(data.fetch("kmnist", directory))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [directory / "KMNIST" / "raw"] * 8
    assert all(report.ok for report in data.verify("kmnist", directory))
    assert [path.name for path in directory.iterdir()] == ["KMNIST"]
    assert len(mirror.requests) == 8  # torchvision asks twice for each file: for redirections, then for the bytes


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
import torchvision
from dropout_lab.data import datasets as data
torchvision.datasets.KMNIST.mirrors = [sys.argv[1]]
data.DATASETS["kmnist"] = replace(data.DATASETS["kmnist"], train_count=60, test_count=20)
data.fetch("kmnist", Path(sys.argv[2]))
"""


def test_a_killed_download_leaves_no_data_and_is_swept_up(mirror: Mirror, tmp_path: Path) -> None:
    stuck, over = threading.Event(), threading.Event()

    def stall(handler: Any, body: bytes) -> None:
        Mirror.send(handler, body[: len(body) // 2], length=len(body))
        if len(mirror.requests) > 1:
            stuck.set()
            over.wait(60)

    mirror.respond = stall
    child = subprocess.Popen([sys.executable, "-c", KILLED, mirror.url, str(tmp_path)], stderr=subprocess.DEVNULL)
    assert stuck.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    over.set()
    (abandoned,) = tmp_path.iterdir()
    assert abandoned.name.startswith(".dropout-lab-fetch-")
    mirror.respond = Mirror.send
    data.fetch("kmnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["KMNIST"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that all may read and nobody may write."""
    folder = tmp_path / "read-only"
    folder.mkdir(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_read_only_folder_is_refused(read_only: Path, mirror: Mirror) -> None:
    for directory in (read_only, read_only / "below"):
        with refused(read_only) as lines, ordinary_user():
            data.load("kmnist", "unit", directory)
        reason = (
            "good files are not here and cannot be written here; name another folder with --data-dir or "
            "DROPOUT_LAB_DATA, or go on with data.dataset=digits, which is bundled"
        )
        assert lines == [f"{directory / 'KMNIST' / 'raw'}: kmnist: {reason} (got Permission denied)"]
    assert mirror.requests == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / "data").write_text("a file")
    with refused(tmp_path) as lines:
        data.fetch("kmnist", tmp_path / "data")
    assert lines[0].endswith("(got File exists)")


def test_a_full_disk_is_a_failure(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", full)
    before = tree(tmp_path)
    with pytest.raises(Failed, match=r"KMNIST/raw: kmnist: No space left on device$"):
        data.fetch("kmnist", tmp_path / "new")
    assert tree(tmp_path).keys() == before.keys()


def test_check_refuses_at_once_and_without_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise OSError("no name server")

    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    monkeypatch.setattr("dropout_lab.data.idx.getproxies", dict)
    with pytest.raises(Refused) as error:
        data.check("mnist", tmp_path)
    assert all(name in str(error.value) for name in (*FILES, "DROPOUT_LAB_DATA", "data.dataset=digits", "no network"))
    monkeypatch.setattr("dropout_lab.data.idx.getproxies", lambda: {"https": "a proxy that resolves the names"})
    data.check("mnist", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_mirrors_are_those_of_torchvision() -> None:
    sets = (getattr(torchvision.datasets, folder) for folder in ("MNIST", "FashionMNIST", "KMNIST"))
    assert {urlsplit(mirror).hostname for own in sets for mirror in own.mirrors} <= set(idx._mirrors())
