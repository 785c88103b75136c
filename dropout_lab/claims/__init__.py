"""The claims of articles and papers: each has its experiment and a criterion that decides it.

registry       CLAIMS: all claims by their ids; the sentences of the theorems
definition     what a claim consists of: sentence, source, the runs that it needs, its judge
articles       the claims of the articles, S1 to S30; add a claim of an article here
papers         the claims of the papers, P1 to P18; add a claim of a paper here
identities     claims that need no training
theory         the theorems T1 to T8, checked by summing over every mask
criteria       the rules that decide HOLDS, FAILS or UNDECIDED; numbers in, rulings out
run            which runs the claims need, what they cost, and the rulings from what runs recorded
page           claims and rulings as text, JSON, Markdown and HTML
theory_figure  the picture of two readings of "0.5 regularizes most"
"""
