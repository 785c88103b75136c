"""CLAIMS: the testable sentences of the literature, all of them: five articles (S), theorems (T), papers (P).

To add one, enter it in article_claims.py or paper_claims.py with its judge above it, and add a config where it needs an
experiment of another kind. The theorems are those of theory.py.
"""

from __future__ import annotations

from dropout_lab import identities, theory
from dropout_lab.article_claims import ARTICLE_CLAIMS
from dropout_lab.claim import Claim
from dropout_lab.paper_claims import PAPER_CLAIMS

THEORY_CLAIMS = tuple(
    Claim(name, theorem.source, identities.sentence(name), identities.theorem(name))
    for name, theorem in theory.THEOREMS.items()
    if name.startswith("T")
)
CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*ARTICLE_CLAIMS, *THEORY_CLAIMS, *PAPER_CLAIMS)}
GROUPS = {"articles": "S", "theory": "T", "papers": "P"}
