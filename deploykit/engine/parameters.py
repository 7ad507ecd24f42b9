"""A notebook's parameters against what its cell tagged `parameters` declares."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Literal, Union

from pydantic import TypeAdapter, ValidationError

from deploykit.errors import UsageError

_PLAIN: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list": list,
    "dict": dict,
    "Any": Any,
    "None": None,
}


def check(notebook: Any, given: Mapping[str, Any], name: str) -> None:
    """Refuse a parameter that the notebook does not declare, or a value of another type.

    Args:
        notebook: The notebook, as nbformat reads it.
        given: The parameters by name.
        name: The notebook's name, for the message.

    Raises:
        UsageError: One of them is unknown or of the wrong type, or the declaration cannot be read.
    """
    known = declared(notebook, name)
    for parameter, value in given.items():
        if parameter not in known:
            names = ", ".join(known) or "none"
            raise UsageError(
                f"there is no parameter {parameter!r}", where=name, mend=f"the notebook's parameters are: {names}"
            )
        _require(parameter, value, known[parameter], name)


def declared(notebook: Any, name: str) -> dict[str, Any]:
    """The declared parameters with their types, which an untyped one takes from its default."""
    source = next((cell.source for cell in notebook.cells if _declares(cell)), "")
    try:
        body = ast.parse(source, type_comments=True).body
        return dict(_parameter(node) for node in body if isinstance(node, ast.Assign | ast.AnnAssign))
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            f"the cell tagged `parameters` cannot be read: {error}",
            where=name,
            mend="write one `name: type = default` a line, with " + ", ".join(_PLAIN) + ", Literal, Optional or |",
        ) from error


def _declares(cell: Any) -> bool:
    return cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])


def _parameter(node: ast.Assign | ast.AnnAssign) -> tuple[str, Any]:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    if not isinstance(target, ast.Name):
        raise ValueError(f"line {node.lineno} is not `name = value`")  # noqa: TRY004 - the notebook's fault, not a type's
    if isinstance(node, ast.AnnAssign):
        return target.id, _type(node.annotation)
    if node.type_comment:
        return target.id, _type(_comment(node.type_comment))
    return target.id, _type_of(node.value)


def _comment(text: str) -> ast.expr:
    """The type in a comment, which papermill lets a word of help follow."""
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return ast.parse(text.split(maxsplit=1)[0], mode="eval").body


def _type_of(default: ast.expr) -> Any:
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return Any
    return Any if value is None else type(value)


def _type(node: ast.expr) -> Any:
    """The type that an annotation names. It is read, never evaluated: the notebook's code runs in its kernel only."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str() as quoted):
            return _type(ast.parse(quoted, mode="eval").body)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007 - put together from values
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _generic(name, inner.elts if isinstance(inner, ast.Tuple) else [inner])
    raise ValueError(f"{ast.unparse(node)} is not a type that can be checked")


def _generic(name: str, inner: list[ast.expr]) -> Any:
    match name:
        case "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        case "Optional":
            return Union[_type(inner[0]), None]  # noqa: UP007 - the same
        case "Union":
            return Union[tuple(_type(item) for item in inner)]  # noqa: UP007 - the same
        case "list" | "List":
            return list[_type(inner[0])]  # type: ignore[misc]  # put together from values
        case "dict" | "Dict":
            return dict[_type(inner[0]), _type(inner[1])]  # type: ignore[misc]  # the same
    raise ValueError(f"{name}[...] is not a type that can be checked")


def _require(parameter: str, value: Any, kind: Any, name: str) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
        text = " (with papermill, `-r NAME VALUE` passes text as it is)" if kind is str else ""
        raise UsageError(
            f"parameter {parameter!r} wants {wanted}, and got {type(value).__name__}",
            where=name,
            mend=f"give it a value of that type{text}",
        ) from error
