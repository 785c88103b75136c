"""The labels and predictions of the test images, one network a file: a CSV table with a line for each image.

Its columns are called label and prediction, in any order; other columns are ignored. Both hold classes, as whole
numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.errors import Problem, Refused
from dropout_lab.logs.read import table

COLUMNS = ("label", "prediction")
CLASS = re.compile(r"\s*[0-9]{1,9}(\.0)?\s*", re.ASCII)  # pandas writes 3.0 where a column had a gap


@dataclass(frozen=True)
class Predicted:
    """What one network says of the test images: (n,) labels and (n,) predictions, and the file's SHA-256 by path."""

    path: Path
    labels: tuple[int, ...]
    predictions: tuple[int, ...]
    sha256: str

    @property
    def accuracy(self) -> float:
        """The share of the images that are right."""
        hits = sum(label == said for label, said in zip(self.labels, self.predictions, strict=True))
        return hits / len(self.labels)


def predicted(path: Path) -> Predicted:
    """Read the predictions of one network. Raises `Refused` with the line of what is wrong."""
    names, lines, digest = table(path)
    for name in COLUMNS:
        if name not in names:
            reason = "there is no such column; a line has the label and the prediction of one test image"
            raise Refused(Problem(str(path), name, reason, ", ".join(names), 1))
    found: dict[str, list[int]] = {name: [] for name in COLUMNS}
    for line, cells in lines:
        for name in COLUMNS:
            if not CLASS.fullmatch(cells[name]):
                raise Refused(Problem(str(path), name, "must be a class, as a whole number", cells[name], line))
            found[name].append(int(float(cells[name])))
    return Predicted(path, tuple(found["label"]), tuple(found["prediction"]), digest)
