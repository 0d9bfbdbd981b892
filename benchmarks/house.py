"""How large is the house, and what does it hold that is too large?

Lines of the package and of its tests, all of them and those of code alone (no blank line,
comment or docstring), the longest files and function bodies, and the functions of most
parameters; the entry points of `epochwise` are named apart, since their parameters are the
user's. The table of docs/design.md is this script's.

    python benchmarks/house.py
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = {"fit", "resume", "sweep", "tune", "train", "one_pass"}
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield every docstring of a module, those behind an assignment among them."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement.value


def code_lines(text: str) -> int:
    """Count the lines on which something is said to the interpreter."""
    prose = {
        line
        for constant in docstrings(ast.parse(text))
        for line in range(constant.lineno, (constant.end_lineno or constant.lineno) + 1)
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - prose)


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield each function's name, the lines of its body without docstring, its parameters."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, Function):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        told = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(argument.arg not in ("self", "cls") for argument in told)
        where = path.relative_to(ROOT / "src" / "epochwise")
        yield f"{where}:{node.name}", length, count


def main() -> None:
    """Print the table."""
    for folder in ("src", "tests"):
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")]
        every = sum(text.count("\n") for text in texts)
        code = sum(map(code_lines, texts))
        print(f"| lines of {folder}, all / code | {every:,} / {code:,} |")
    files = list((ROOT / "src" / "epochwise").rglob("*.py"))
    sizes = sorted(((path.read_text().count("\n"), path) for path in files), reverse=True)
    found = [function for path in files for function in functions(path)]
    verbs = [each for each in found if "/cli/" in f"/{each[0]}"]
    asked = [each for each in found if each[0].split(":")[1] not in ENTRY_POINTS]
    asked = [each for each in asked if each not in verbs]
    longest = sorted(found, key=lambda each: -each[1])
    widest = sorted(asked, key=lambda each: -each[2])
    print(f"| files over 450 lines | {sum(size > 450 for size, _ in sizes)} |")
    print(f"| function bodies over 60 lines | {sum(each[1] > 60 for each in found)} |")
    print(f"| functions of over 8 parameters | {sum(each[2] > 8 for each in asked)} |")
    for size, path in sizes[:6]:
        print(f"largest file: {size:5,} lines  {path.relative_to(ROOT)}")
    for name, length, _ in longest[:6]:
        print(f"longest body: {length:5,} lines  {name}")
    for name, _, count in widest[:6]:
        print(f"most parameters: {count:2}  {name}")


if __name__ == "__main__":
    main()
