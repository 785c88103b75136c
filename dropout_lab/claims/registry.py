"""CLAIMS: the testable sentences of the literature, all of them: five articles (S), theorems (T), papers (P).

To add one, enter it in article_claims.py or paper_claims.py with its judge above it, and add a config where it needs an
experiment of another kind. The theorems are those of theory.py.
"""

from __future__ import annotations

from dropout_lab.claims import identities, theory
from dropout_lab.claims.articles import ARTICLE_CLAIMS
from dropout_lab.claims.definition import Claim
from dropout_lab.claims.papers import PAPER_CLAIMS

THEOREMS = {
    "T1": "With one hidden layer and softmax the scaled network is the normalized geometric mean of all thinned ones.",
    "T2": "There its log-probability of a class is no less than the mean one of the thinned networks.",
    "T3": "With linear outputs its squared error is the mean one of the thinned networks less their variance.",
    "T4": "In linear regression dropout is a ridge penalty.",
    "T5": "In logistic regression dropout is nearly a quadratic penalty, but for third order in the weights.",
    "T6": "In logistic regression the loss with dropout is nearly that of a Gaussian sum, with kappa = pi / 8.",
    "T7": "The normalized geometric mean of a sigmoid unit is the sigmoid of its mean sum.",
    "T8": "A network that is scaled at test trains as one with inverted dropout, with its settings mapped.",
}
THEORY_CLAIMS = tuple(
    Claim(name, theory.THEOREMS[name].source, sentence, identities.theorem(name)) for name, sentence in THEOREMS.items()
)
CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*ARTICLE_CLAIMS, *THEORY_CLAIMS, *PAPER_CLAIMS)}
GROUPS = {"articles": "S", "theory": "T", "papers": "P"}
