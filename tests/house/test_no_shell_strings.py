"""No text is run as a shell command: programs get their arguments as data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*ROOT.glob("scripts/*.sh"), *ROOT.glob("benchmarks/*.sh"), ROOT / ".ci/run"]
SHELL_FUNCTIONS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
SHELL = re.compile(r"(?:^|[;&|(!]|\b(?:then|do|if|while|exec)\s)\s*eval\s|\b(?:ba|da)?sh\s+-\w*c\b")


def shell_strings(source: str) -> list[str]:
    """What gives a shell a text in Python code, other than a constant script, which gets its arguments as data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            shell = any(one.arg == "shell" and getattr(one.value, "value", True) for one in node.keywords)
            if shell or ast.unparse(node.func) in SHELL_FUNCTIONS or ast.unparse(node.func) in ("eval", "exec"):
                found.append(ast.unparse(node))
        if isinstance(node, ast.List | ast.Tuple):
            words = [one.value if isinstance(one, ast.Constant) else None for one in node.elts]
            if words[:1] in (["sh"], ["bash"]) and "-c" in words and words[words.index("-c") + 1] is None:
                found.append(ast.unparse(node))
    return found


def evaluated(script: str) -> list[str]:
    """The lines of a shell script, without comments, that run a text as a command."""
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in script.splitlines())
    return [line for line in lines if SHELL.search(line)]


def test_python_gives_no_text_to_a_shell() -> None:
    paths = [*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    assert {str(path): found for path in paths if (found := shell_strings(path.read_text()))} == {}


def test_scripts_evaluate_no_text() -> None:
    assert {path.name: found for path in SCRIPTS if (found := evaluated(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.run(x, shell=y)",
        "run(['bash', '-c', x])",
        "eval(x)",
    ],
)
def test_the_rule_finds_python(source: str) -> None:
    assert shell_strings(source)
    assert not shell_strings(
        "subprocess.run(['bash', x], shell=False)\nmodel.eval()\nrun(['sh', '-c', 'cat \"$0\"', x])"
    )


@pytest.mark.parametrize("line", ['eval "exec $WORKER"', 'bash -c "$x"', "if eval $x; then", "sh -ec 'a'"])
def test_the_rule_finds_shell(line: str) -> None:
    assert evaluated(line) == [line]
    assert not evaluated('"$gbench" eval run\nexec "$@" # eval it\nbash "$x" --eval-mode')
