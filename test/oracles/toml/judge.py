"""Judges edits of TOML with Python's own parser: one question a line, {"before", "after", "path", "value"}; one answer a line."""

import json
import sys
import tomllib


def changed(table, path, value):
    first, rest = path[0], path[1:]
    others = {name: inner for name, inner in table.items() if name != first}
    if rest:
        return {**others, first: changed(table.get(first, {}), rest, value)}
    return others if value is None else {**others, first: value}


def said(tables):
    return json.dumps(tables, sort_keys=True, default=repr)


for line in sys.stdin:
    question = json.loads(line)
    try:
        # A byte order mark is for whoever reads the file.
        before = tomllib.loads(question["before"].removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        print(json.dumps(f"not read: {error}"))
        continue
    try:
        after = tomllib.loads(question["after"].removeprefix("\ufeff"))
        wanted = changed(before, question["path"], question.get("value"))
        print(json.dumps("right" if said(after) == said(wanted) else "wrong"))
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        print(json.dumps(f"wrong: {error}"))
