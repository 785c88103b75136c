"""CLAIMS: the testable sentences of the literature, by id: those of five articles (S), theorems (T), papers (P).

To add one, enter its sentence in sentences.csv, its judge and its experiment in articles.py, papers.py or theory.py.
"""

from __future__ import annotations

from dropout_lab.claims.articles import ARTICLE_CLAIMS
from dropout_lab.claims.computed import theorem
from dropout_lab.claims.definition import Claim, claim
from dropout_lab.claims.papers import PAPER_CLAIMS
from dropout_lab.claims.theory import THEOREMS

GROUPS = {"articles": "S", "theory": "T", "papers": "P"}
THEORY_CLAIMS = tuple(claim(id, theorem(id)) for id in THEOREMS if id.startswith(GROUPS["theory"]))
CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*ARTICLE_CLAIMS, *THEORY_CLAIMS, *PAPER_CLAIMS)}
