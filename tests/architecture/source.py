"""The package's source as the tests of its shape see it: modules, their imports, their code without words.

Knows: files, the syntax of Python, and as much of Cython's as regular expressions find. Must not know: any
rule.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "tricorn"

_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|.+)$", re.MULTILINE)
_IMPORT = re.compile(r"^\s*c?import\s+([\w., ]+)", re.MULTILINE)
_TRIPLE = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_COMMENT = re.compile(r"#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """One source file. `name` is its path in the package, `room` the first part of that. `dotted` is what it
    is imported by; a module and its declarations (.pxd, .pyi) share it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def room(self) -> str:
        return self.name.split("/")[0].split(".")[0]

    @property
    def dotted(self) -> str:
        return _dotted(self.path)

    @property
    def is_compiled(self) -> bool:
        return self.path.suffix in {".pyx", ".pxd"}

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def docstring(self) -> str:
        if self.is_compiled:
            match = re.match(r'\s*"""(.*?)"""', self.text, re.DOTALL)
            return match[1] if match else ""
        return ast.get_docstring(ast.parse(self.text)) or ""

    @property
    def code(self) -> str:
        """Without comments and strings, so what is left was meant for the machine."""
        return _COMMENT.sub("", _STRING.sub('""', _TRIPLE.sub('""', self.text)))

    @property
    def imports(self) -> set[str]:
        """Dotted names of all modules that it imports or cimports, wherever in the file."""
        return self._imports_of_cython() if self.is_compiled else self._imports_of_python()

    def _imports_of_python(self) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: imports are absolute here"
                found.update(_members(node.module or "", [alias.name for alias in node.names]))
        return found

    def _imports_of_cython(self) -> set[str]:
        found = set()
        code = _COMMENT.sub("", _TRIPLE.sub('""', self.text))
        for match in _FROM.finditer(code):
            found.update(_members(match[1], re.findall(r"\w+", match[2])))
        for match in _IMPORT.finditer(code):
            found.update(part.split(" as ")[0].strip() for part in match[1].split(",") if part.strip())
        return found

    @property
    def headers(self) -> set[str]:
        """C headers that it declares things from."""
        return set(re.findall(r'cdef extern from "<?([^">]+)', self.text))


def _members(module: str, names: list[str]) -> list[str]:
    """`from tricorn.log import setup` imports a module too."""
    return [f"{module}.{name}" if f"{module}.{name}" in DOTTED else module for name in names]


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Rooms are the packages and the modules directly in the package.
ROOMS = {
    path.name.split(".")[0]
    for path in PACKAGE.iterdir()
    if path.is_dir() or path.suffix in {".py", ".pyx"}
    if not path.name.startswith("__")
}

MODULES = [
    Module(path) for path in sorted(PACKAGE.rglob("*")) if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}
]

#: What all of them are imported by; packages count as modules, as they do for Python.
DOTTED = {module.dotted for module in MODULES}
