"""Templates: every text is escaped, and a page may use its own style and script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dropout_lab import pages

HOSTILE = "</p><script>alert('1')</script> \x1b[31m\u202e"
CLAIMS = {"title": HOSTILE, "command": HOSTILE, "facts": "", "sum": "", "head": (), "claims": ()}


@pytest.mark.parametrize("script", [None, pages.REPORT_SCRIPT])
def test_a_policy_names_the_style_and_the_script_that_are_there(script: Path | None) -> None:
    text = pages.page("claims.html", script, **CLAIMS)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        inside = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digests = [f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" for own in inside]
        assert re.findall(f"{kind}-src ([^;]*);", policy) == (digests or ["'none'"])
    assert text.count("<script") == bool(script)


def test_every_text_is_escaped_and_printable() -> None:
    text = pages.as_html([f"{'label':<10}{HOSTILE}", [("", "value"), (HOSTILE, "1.0"), ("b", HOSTILE)]])
    assert text.count("&lt;script&gt;alert(&#39;1&#39;)") == 3 and "<script" not in text
    assert text.isprintable() or not re.findall(r"[\x1b\u202e]", text)
    assert "<p><b>label</b> &lt;/p&gt;" in text


def test_a_column_of_numbers_stands_flush_right() -> None:
    text = pages.as_html([[("", "number", "word"), ("1", "+1.5", "x"), ("2", "-", "2")]])
    assert re.findall(r'<t[hd][^>]* class="n">([^<]*)<', text) == ["number", "+1.5", "-"]


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="facts"):
        pages.page("claims.html", **{key: value for key, value in CLAIMS.items() if key != "facts"})
