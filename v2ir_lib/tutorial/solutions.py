"""Exercises in a headless run: the folded solution must pass its check, and a wrong answer must not.

An exercise is a code cell tagged `exercise`, whose stub defines a function or a name and then checks it. The Markdown
cell behind it folds the solution: `<summary>Solution</summary>`, then a Python block that defines the same.
"""

import ast
import re

TAG = "exercise"
_SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)
_VERDICT = re.compile(r"^[✓✗·] .*?: (correct|wrong|not attempted)\b", re.MULTILINE)
_WRONG = -12345.678  # no exercise's answer


def put_in(exercise, behind: list) -> None:
    """Put a wrong answer and then the solution into an exercise's cell; `behind` is the cell after it, if there is one.

    Raises `ValueError` that says what is missing, `SyntaxError` for what is not Python.
    """
    found = _SOLUTION.search(behind[0].source) if behind and behind[0].cell_type == "markdown" else None
    if not found:
        raise ValueError("no folded solution stands behind this exercise")
    exercise.source = solved(exercise.source, found[1])


def solved(stub: str, solution: str) -> str:
    """The stub's cell twice: with a wrong answer in place of what the solution defines, then with the solution."""
    wrong, right = stub, stub
    for name, text in _definitions(solution).items():
        where = _definitions(stub).get(name)
        if where is None:
            raise ValueError(f"the solution defines {name}, which the exercise does not ask for")
        refused = f"def {name}(*_, **__):\n    return {_WRONG}\n" if text.startswith("def ") else f"{name} = {_WRONG}\n"
        wrong = wrong.replace(where, refused)
        right = right.replace(where, text)
    if right == stub:
        raise ValueError("the solution defines nothing that the exercise asks for")
    return f"{wrong.rstrip()}\n\n{right}"


def complaint(cell) -> str | None:
    """What is wrong with an executed exercise: None if its checks refused the wrong answer and took the solution."""
    said = "".join(output.get("text", "") for output in cell.get("outputs", []) if output.output_type == "stream")
    verdicts = _VERDICT.findall(said)
    half = len(verdicts) // 2
    if not verdicts or len(verdicts) % 2:
        return "this exercise checks nothing"
    if any(verdict != "wrong" for verdict in verdicts[:half]):
        return f"a check takes {_WRONG} for right"
    if any(verdict != "correct" for verdict in verdicts[half:]):
        return f"the solution does not pass its own check: {verdicts[half:]}"
    return None


def is_exercise(cell) -> bool:
    return cell.cell_type == "code" and TAG in cell.metadata.get("tags", [])


def _definitions(source: str) -> dict[str, str]:
    """What a cell defines at its top level, functions and plain assignments: name → its own lines."""
    lines = source.splitlines(keepends=True)
    found = {}
    for statement in ast.parse(source).body:  # SyntaxError: the caller's to explain
        text = "".join(lines[statement.lineno - 1 : statement.end_lineno])
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = text
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = text
    return found
