"""YAML that remembers its lines, so that a fault in a declaration can be pointed at.

It is stricter than YAML, because what is silently read as something else is found much later:
a key given twice is a fault, as are anchors and tags; a number is decimal, and `01` or `0x1F`
is the text it looks like (a category's code keeps its zero).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from models.declaration import DeclarationError, Where

T = TypeVar("T")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")


def load_checked(path: str | Path, check: Callable[[Any], T], fault: type[ValueError]) -> T:
    """What `check` makes of the file's content: mappings, lists, texts, numbers, booleans and None.

    Args:
        check: raises DeclarationError at a value that it doesn't allow.
        fault: the error to raise, as `path:line: keys: problem`.
    """
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise fault(f"{path}: can't be read: {error}") from error
    try:
        root = YAML(typ="safe", pure=True).compose(source)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise fault(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        raise fault(f"{path}: not valid YAML: {error}") from error
    lines: dict[Where, int] = {(): 1}
    try:
        return check(None if root is None else _plain(root, (), lines, set()))
    except DeclarationError as error:
        keys = f"{'.'.join(map(str, error.where))}: " if error.where else ""
        raise fault(f"{path}:{_line(error.where, lines)}: {keys}{error.problem}") from error


def _plain(node: Node, where: Where, lines: dict[Where, int], seen: set[int]) -> Any:
    if node.anchor or id(node) in seen:
        raise DeclarationError(where, "anchors and aliases (& and *) aren't read; write the value out")
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        return _scalar(node, where)
    if isinstance(node, MappingNode):
        return {key: _plain(value, (*where, key), lines, seen) for key, value in _entries(node, where, lines)}
    for i, item in enumerate(node.value):
        lines[(*where, i)] = item.start_mark.line + 1
    return [_plain(item, (*where, i), lines, seen) for i, item in enumerate(node.value)]


def _entries(node: MappingNode, where: Where, lines: dict[Where, int]) -> Iterator[tuple[str, Node]]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = str(key.value)
        inner = (*where, name)
        if not isinstance(key, ScalarNode):
            lines[inner] = line
            raise DeclarationError(inner, "a key must be a text")
        if inner in lines:
            first, lines[inner] = lines[inner], line
            raise DeclarationError(inner, f"the key is given twice, first in line {first}; remove one")
        lines[inner] = line
        yield name, value


def _scalar(node: ScalarNode, where: Where) -> Any:
    value = str(node.value)
    match str(node.tag).removeprefix("tag:yaml.org,2002:"):
        case "null":
            return None
        case "bool":
            return value.lower() == "true"
        case "int" if _WHOLE.fullmatch(value):
            return int(value)
        case "float" if _DECIMAL.fullmatch(value):
            return float(value)
        case "str" | "int" | "float" | "timestamp":
            return value
        case tag:
            raise DeclarationError(where, f"the tag {tag!r} isn't read; remove it")


def _line(where: Where, lines: dict[Where, int]) -> int:
    while where not in lines:
        where = where[:-1]
    return lines[where]
