"""The claims of articles and papers, sentences.csv: each has its experiment and a judge that decides it.

definition     what a claim is: its sentence, the runs that it needs, its judge
criteria       the rules that decide HOLDS, FAILS or UNDECIDED; numbers in, rulings out
evidence       what a claim's runs recorded, as its judge asks for it
articles       how the claims of the articles, S1 to S30, are judged
papers         how the claims of the papers, P1 to P18, are judged
computed       the judges of claims that need no training
theory         THEOREMS, T1 to T8 and S23, checked by summing over every mask
theory_figure  the picture of two readings of "0.5 regularizes most"
registry       CLAIMS: all claims by their ids
experiment     which claims to judge, what they cost, which runs they need
judge          the rulings from what these runs recorded
page           claims and rulings as text, JSON, Markdown and HTML
"""
