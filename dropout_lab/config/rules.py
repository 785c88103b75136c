"""What a message says about a setting: its rule, from the JSON schema that editors use too, and similar names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dropout_lab.config import shipped
from dropout_lab.config.strict_yaml import is_text, written

MAX_FILES = 1000  # looked through for a similar name
NEEDS_QUOTES = re.compile(r"""^[\s?:,[\]{}#&*!|>'"%@`-]|:\s|\s\#|\s$""")  # YAML would not read it as text

JSON_TYPES = {int: ("integer", "number"), float: ("number",), list: ("array",), tuple: ("array",)}

Schema = Mapping[str, Any]  # the JSON schema of one setting or section


def rule(schema: Schema, value: object) -> str:
    """Return the rule that `value` breaks: "must be a whole number from 1 to 100000".

    If a setting has alternatives (a number or a list), only those of the value's type are named, if there are any.
    """
    options = schema.get("anyOf", [schema])
    own_types = JSON_TYPES.get(type(value), ())
    if any(option.get("type") in own_types for option in options):
        options = [option for option in options if option.get("type") in (*own_types, "null")]
    choices = [name for option in options for name in option.get("enum", ()) if name]
    near = nearest(value, choices) if isinstance(value, str) and len(choices) > 1 else None
    return f"must be {' or '.join(map(_phrase, options))}{did_you_mean(near)}"


def item_rule(schema: Schema) -> str:
    """Return the rule for the items of a setting that can be a list."""
    (array,) = (option for option in schema.get("anyOf", [schema]) if option.get("type") == "array")
    return f"every item must be {_phrase(array['items'])}"


def found(value: object) -> str:
    """Return `value` as a user would write it in YAML. Text has quotes only if it would mean something else without."""
    plain = isinstance(value, str) and is_text(value) and not NEEDS_QUOTES.search(value)
    return str(value) if plain else written(value)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` may be misspelled from, or None. Upper and lower case count as the same."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.7)
    return lowered[near[0]] if near else None


def did_you_mean(near: str | None) -> str:
    """Return the end of a message that suggests the name `near`; "" for None."""
    return f", did you mean {near}?" if near else ""


def nearest_file(path: Path, suffixes: tuple[str, ...]) -> str | None:
    """Return what has the most similar name: a file in the folder of `path` or in configs/, or a shipped config."""
    known = {spelled: name for name in shipped.names() for spelled in (name, f"{name}.yaml")}
    for folder in Path("configs"), path.parent:
        try:
            files = [file for file in islice(folder.iterdir(), MAX_FILES) if file.suffix in suffixes]
        except (OSError, ValueError):  # there is no such folder, or no folder can have this name
            continue
        known |= {name: str(file) for file in sorted(files) for name in (file.stem, file.name)}
    return known.get(nearest(path.name, known) or "")


def _phrase(schema: Schema) -> str:
    """Return what `schema` allows: "a number from 0 to 1"."""
    if "enum" in schema:
        names = [found(name) for name in schema["enum"]]
        return f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    match schema["type"]:
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "number":
            return f"a number{_bounds(schema)}"
        case "array":
            items = (
                _phrase(schema["items"]).removeprefix("a ").replace("number", "numbers", 1).replace("name", "names", 1)
            )
            least, most = schema.get("minItems"), schema.get("maxItems")
            count = f"{least} to {most} " if least and most else f"at most {most} " if most else ""
            return f"a list of {count}{'different ' if schema.get('uniqueItems') else ''}{items}"
        case "object":
            return f"a section with the keys {', '.join(schema['properties'])} (leave it out for the defaults)"
    return str(schema["description"])


def _bounds(schema: Schema) -> str:
    """Return the bounds in words: " from 0 to 1", " of at least 0 and below 1", " above 0 and at most 1000"."""
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:.12g} to {schema['maximum']:.12g}"
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = " and ".join(f"{word} {schema[key]:.12g}" for key, word in words.items() if key in schema)
    return f" {bounds}" if bounds else ""
