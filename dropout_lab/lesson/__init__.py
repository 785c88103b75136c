"""The lesson: one HTML page that tells the story of the articles with real networks, and lets its reader try them.

plan    which runs the story needs
gather  what these runs say, step by step, as data for the page
quiz    the claims that the reader guesses at
charts  charts as SVG paths
page    the page itself, from templates/lesson.html
"""
