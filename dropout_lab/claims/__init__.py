"""The literature's sentences: each with its experiment and its judge.

registry       CLAIMS: all of them, by id
definition     what a claim is, and what its judge may ask
criteria       when a claim holds
articles       what the articles say
papers         what the papers report
identities     claims that need no training
theory         THEOREMS, checked by summing over every mask
theory_figure  why 0.5 is the strongest rate in one reading only
run            which runs claims need; what they recorded, judged
page           claims and rulings as text, JSON, Markdown and HTML
"""
