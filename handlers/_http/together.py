"""The dashboard's modules as a browser is sent them: all that a page begins with in one answer, in place of thirty.

`app.js` comes with every module that it imports. Each page that it loads later comes with those that are left. They are
the files as they are written: only their lines of `import` and `export` become assignments, as below.

    modules["lib/x.js"] ??= (() => {
    const { useState } = modules["vendor/hooks.mjs"];
    …
    return { one, other };
    })();
"""

import re
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath

from msgspec import Struct

APP = "app.js"
PACKAGES = {
    "preact": "vendor/preact.mjs",
    "preact/hooks": "vendor/hooks.mjs",
    "htm": "vendor/htm.mjs",
    "htm/preact": "vendor/htm-preact.mjs",
}
"""The file of what is imported by a package's name."""

_IMPORT = re.compile(
    r'(?:^|(?<=;))import\s*(?:\*\s*as (?P<all>\w+)|(?P<default>\w+)|\{(?P<named>[^}]*)\})\s*from\s*"(?P<name>[^"]+)";',
    re.MULTILINE,
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_EXPORT_LIST = re.compile(
    r'(?:^|(?<=[;}]))export\s*\{(?P<names>[^}]*)\}(?:\s*from\s*"(?P<name>[^"]+)")?;?', re.MULTILINE
)
_EXPORT_DEFAULT = re.compile(r"\bexport default (?=function)")
_PAGE = re.compile(r'\bimport\("\./([^"]+)"\)')
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


class Module(Struct, frozen=True):
    """A file's code without its imports and exports, the files that it imports, and each name that it exports with what
    it is the name of.
    """

    code: str
    imports: tuple[str, ...]
    exports: tuple[tuple[str, str], ...]


def is_entry(folder: Path, name: str) -> bool:
    """Whether a file is sent with what it imports: the app, or a page that the app loads."""
    return name == APP or name in _PAGE.findall(_read(folder / APP))


def put_together(folder: Path, entry: str) -> bytes:
    """An entry with whatever it imports, and the page does not have yet. As the files are now.

    Raises OSError for one that is not there.
    """
    there = _needed(folder, APP, {}) if entry != APP else {}
    return _assemble(entry, tuple(_needed(folder, entry, dict(there)).items())[len(there) :])


def _needed(folder: Path, name: str, known: dict[str, Module]) -> dict[str, Module]:
    """The modules known, and those that this one imports and itself, each behind those that it imports."""
    if name not in known:
        module = _parse(name, _read(folder / name))
        for imported in module.imports:
            _needed(folder, imported, known)
        known[name] = module
    return known


def _read(path: Path) -> str:
    stat = path.stat()
    return _read_version(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _read_version(path: Path, changed: int, size: int) -> str:
    del changed, size  # a file of other times is another version
    return path.read_text("utf-8")


@lru_cache(maxsize=256)
def _parse(name: str, source: str) -> Module:
    imports: list[str] = []
    exports: list[tuple[str, str]] = []

    def file_of(imported: str) -> str:
        imports.append(PACKAGES.get(imported) or normpath(join(dirname(name), imported)))
        return imports[-1]

    def bound(found: re.Match[str]) -> str:
        module = f'modules["{file_of(found["name"])}"]'
        if found["default"]:
            module += ".default"
        names = found["all"] or found["default"] or f"{{{found['named'].replace(' as ', ': ')}}}"
        return f"const {names} = {module};"

    def listed(found: re.Match[str]) -> str:
        owner = f'modules["{file_of(found["name"])}"].' if found["name"] else ""
        for one in found["names"].split(","):
            own, _, other = one.strip().partition(" as ")
            exports.append((other or own, owner + own))
        return ""

    def declared(found: re.Match[str]) -> str:
        exports.append((found[1], found[1]))
        return ""

    code = _SOURCE_MAP.sub("", source)
    code = _IMPORT.sub(bound, code)
    code = _EXPORT_LIST.sub(listed, code)
    code = _EXPORT.sub(declared, code)
    if _EXPORT_DEFAULT.search(code):
        code = _EXPORT_DEFAULT.sub("const ownDefault = ", code)
        exports.append(("default", "ownDefault"))
    return Module(code.strip(), tuple(imports), tuple(exports))


@lru_cache(maxsize=32)
def _assemble(entry: str, modules: tuple[tuple[str, Module], ...]) -> bytes:
    first = "export const modules = {};" if entry == APP else f'import {{ modules }} from "/ui/{APP}";'
    parts = [first, *(_defined(name, module) for name, module in modules)]
    names = ", ".join(name for name, _ in modules[-1][1].exports)
    if names:
        parts.append(f'export const {{ {names} }} = modules["{entry}"];')
    return "\n".join([*parts, ""]).encode()


def _defined(name: str, module: Module) -> str:
    exports = ", ".join(f"{exported}: {own}" for exported, own in module.exports)
    return f'modules["{name}"] ??= (() => {{\n{module.code}\nreturn {{ {exports} }};\n}})();'
