"""The claims of the articles that the reader guesses at, each with its verdict and the numbers of it.

Most need no training: they are computed from the lab's own dropout. Some are judged on the networks of this lesson.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dropout_lab.claims.articles import ARTICLE_CLAIMS
from dropout_lab.claims.definition import overall
from dropout_lab.claims.evidence import Evidence
from dropout_lab.evaluation.evaluate import Evaluation
from dropout_lab.runs.read import Run

HERE = ("S3", "S11", "S22", "S25", "S27")  # claims whose arms this lesson trains


def quiz(arms: Mapping[str, Run], evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return the claims that need no training and those of HERE, in the order of the articles.

    arms: the runs that the claims of HERE compare, by their names there. evaluations: of some of these.
    """
    found = []
    for claim in ARTICLE_CLAIMS:
        if claim.arms and claim.id not in HERE:
            continue
        rulings = claim.judge(Evidence(arms if claim.arms else {}, evaluations))
        found.append(
            {
                "id": claim.id,
                "sentence": claim.sentence,
                "source": claim.source,
                "trained": bool(claim.arms),
                "verdict": overall(claim, rulings),
                "rulings": [
                    {"word": own.word, "reading": own.reading, "measured": own.measured, "reason": own.reason}
                    for own in rulings
                ],
            }
        )
    return found


def left_out() -> int:
    """Return how many claims of the articles the lesson does not ask for."""
    return sum(bool(claim.arms) and claim.id not in HERE for claim in ARTICLE_CLAIMS)
