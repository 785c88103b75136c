"""Renders the templates of templates/ as HTML: tables for a notebook, and whole pages that need no other file.

Every text is escaped as it enters a template. A Content-Security-Policy lets a page load nothing but its own pictures,
and run nothing but its own script.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.errors import printable
from dropout_lab.text import Parts, grouped, numeric, unlabelled

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
STYLE, REPORT_SCRIPT = TEMPLATES / "page.css", TEMPLATES / "report.js"
LESSON_STYLE, LESSON_SCRIPT = TEMPLATES / "lesson.css", TEMPLATES / "lesson.js"


def page(template: str, script: Path | None = None, style: Path | None = None, /, **values: Any) -> str:
    """Return a whole page with its script inside it, and the style of all pages with its own one."""
    from markupsafe import Markup

    common, own, code = (file.read_text(encoding="utf-8") if file else "" for file in (STYLE, style, script))
    sheet = common + own
    return render(template, policy=Markup(policy(sheet, code)), style=Markup(sheet), script=Markup(code), **values)


def policy(style: str, script: str) -> str:
    """Return the policy under which a page requests nothing, and uses only this style and this script."""
    styles, scripts = map(_source, (style, script))
    return f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; base-uri 'none'"


def _source(text: str) -> str:
    """Return what a policy calls this text, by its digest; no text is no source."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'" if text else "'none'"


def as_html(parts: Parts) -> str:
    """Return labelled texts as paragraphs between the tables, for a notebook."""
    blocks = [(part, ()) if isinstance(part, list) else ((), map(unlabelled, part)) for part in grouped(parts)]
    return render("parts.html", parts=blocks)


def render(template: str, **values: Any) -> str:
    """Return a template of templates/ filled with `values`; a name that it lacks is an error."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["numeric"] = numeric
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _printable(value: Any) -> Any:
    """Return text with what cannot be printed escaped; markup and everything else as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else printable(value)
