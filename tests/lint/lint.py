#!/usr/bin/env python3
"""What the compiler cannot see: one rule per name, all of them by default.

    tests/lint/lint.py [--root DIR] [--archive FILE ...] [RULE ...]

Prints every breach as FILE:LINE: RULE: WHY. Exit 0: clean; 1: breaches;
77: the one rule asked for needs a tool that is missing (an error when CI is
set, where nothing may be skipped).
"""
import argparse
import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

MAX_FUNCTION = 100
MAX_FILE = 600
CLANG_FORMAT = "14"

# Who may include whom: folder -> the folders that its files may name.
MAY_INCLUDE = {
    "core": {"core"},
    "partition": {"core", "partition"},
    "mpi": {"core", "partition", "mpi"},
    "launch": {"core", "partition", "mpi", "launch"},
    "tests/core": {"core", "tests"},
    "tests/partition": {"core", "partition", "tests"},
    "tests/mpi": {"core", "partition", "mpi", "tests"},
}
MPI_HEADER = re.compile(r"(o?mpi|mpi-ext|pmpi)\.h$")
MAY_INCLUDE_MPI = ("mpi/", "tests/mpi/")
CUDA_HEADER = re.compile(r"(cuda|cudnn|cublas|nccl)")
MAY_INCLUDE_CUDA = ("core/device/cuda/",)

BANNED = {
    "assert": "vanishes with NDEBUG; use WEFT_MUST, or cmocka's in tests",
    "strcpy": "does not know the room", "strcat": "does not know the room",
    "stpcpy": "does not know the room", "sprintf": "use snprintf",
    "vsprintf": "use vsnprintf", "gets": "does not know the room",
    "system": "starts a shell", "popen": "starts a shell",
    "strtok": "keeps state", "atoi": "cannot fail; use strtol",
    "atol": "cannot fail; use strtol", "atof": "cannot fail; use strtod",
    "alloca": "no bound", "rand": "not reproducible; use core/rng.h",
    "tmpnam": "races; use mkstemp", "mktemp": "races; use mkstemp",
}
# Split, so that this file does not break its own rule.
WORDS = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]
PATHS = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/"]

SKIP_DIRS = {".git", ".weft", "build", "__pycache__"}
TEXT = {".c", ".h", ".cu", ".cuh", ".py", ".sh", ".md", ".txt", ".cmake",
        ".yaml", ".yml", ".json", ".in", ".supp", ""}
# Test data is what it is; the scripts that made it are not.
DATA = ("tests/golden/", "tests/fuzz/corpus/")


class Missing(Exception):
    """A rule cannot run here."""


# ---------------------------------------------------------------- the files
def tracked(root):
    """Files of the project: what git knows or would add; without git, all."""
    if shutil.which("git"):
        git = subprocess.run(
            ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
            capture_output=True, text=True, check=False)
        names = [n for n in git.stdout.split("\0") if (root / n).is_file()]
        if git.returncode == 0 and names:
            return sorted(names)
    found = []
    for folder, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs if d not in SKIP_DIRS]
        found += [str((Path(folder) / n).relative_to(root)) for n in names]
    return sorted(found)


class Tree:
    def __init__(self, root, archives):
        self.root = root
        self.archives = archives
        self.files = tracked(root)
        self.breaches = []
        self.notes = []

    def text(self, name):
        return (self.root / name).read_bytes().decode(errors="replace")

    def c_files(self):
        return [f for f in self.files if f.endswith((".c", ".h"))]

    def text_files(self):
        return [f for f in self.files
                if Path(f).suffix in TEXT and Path(f).name != "LICENSE"
                and (not f.startswith(DATA) or f.endswith(".py"))]

    def breach(self, name, line, rule, why):
        self.breaches.append(f"{name}:{line}: {rule}: {why}")


BLANK = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def bare(text):
    """C without comments and literals; every line keeps its number."""
    def blank(m):
        s = m.group(0)
        filler = re.sub(r"[^\n]", " ", s)
        return '"' + filler[1:-1] + '"' if s[0] in "\"'" else filler
    return BLANK.sub(blank, text)


# ---------------------------------------------------------------- the rules
def rule_format(tree):
    """clang-format 14 would change nothing."""
    for name in ("clang-format-" + CLANG_FORMAT, "clang-format"):
        tool = shutil.which(name)
        if not tool:
            continue
        says = subprocess.run([tool, "--version"], capture_output=True,
                              text=True, check=True).stdout
        if re.search(rf"version {CLANG_FORMAT}\.", says):
            break
    else:
        raise Missing(f"clang-format {CLANG_FORMAT} is not installed")
    files = tree.c_files()
    run = subprocess.run([tool, "--dry-run", "-Werror", *files], cwd=tree.root,
                         capture_output=True, text=True, check=False)
    places = re.findall(r"^(\S+?):(\d+):\d+: error: ", run.stderr, re.M)
    for name in dict.fromkeys(p[0] for p in places):
        lines = [p[1] for p in places if p[0] == name]
        tree.breach(name, lines[0], "format",
                    f"clang-format would change {len(lines)} places")
    if run.returncode and not tree.breaches:
        tree.breach("clang-format", 0, "format", run.stderr.strip())


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def includes(tree, name):
    text = tree.text(name)
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start(2)) + 1, m[1] == '"', m[2]


def rule_include(tree):
    """launch -> mpi -> partition -> core, never back."""
    for name in tree.c_files():
        allowed = next((v for k, v in MAY_INCLUDE.items()
                        if name.startswith(k + "/")), None)
        for line, quoted, what in includes(tree, name):
            top = what.split("/")[0]
            if MPI_HEADER.search(what) and "/" not in what \
                    and not name.startswith(MAY_INCLUDE_MPI):
                tree.breach(name, line, "include", f"<{what}> outside mpi/")
            elif CUDA_HEADER.match(what) \
                    and not name.startswith(MAY_INCLUDE_CUDA):
                tree.breach(name, line, "include",
                            f"{what} outside core/device/cuda/")
            elif top in ("core", "partition", "mpi", "launch", "tests") \
                    and "/" in what:
                if allowed is not None and top not in allowed:
                    tree.breach(name, line, "include",
                                f"{what} is above {name.split('/')[0]}/")
                elif not (tree.root / what).is_file():
                    tree.breach(name, line, "include",
                                f"no file of that name: {what}")
            elif quoted:
                tree.breach(name, line, "include",
                            f'"{what}": name it from the root')


DEVICE_IF = re.compile(r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b.*"
                       r"(?:CUDA|__AVX|__SSE|__ARM|__x86_64)", re.M)


def rule_device(tree):
    """What a device is, only core/device/ asks the preprocessor."""
    for name in tree.c_files():
        if name.startswith(("core/device/", "tests/")):
            continue
        text = bare(tree.text(name))
        for m in DEVICE_IF.finditer(text):
            tree.breach(name, text.count("\n", 0, m.start()) + 1, "device",
                        "a device's #if outside core/device/")


PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)


def function_name(head):
    """The word before the last outermost parenthesis: what is defined."""
    depth, name = 0, "?"
    for m in re.finditer(r"(\w+)?\s*\(|\)", head):
        if m[0] == ")":
            depth -= 1
            continue
        if depth == 0 and m[1]:
            name = m[1]
        depth += 1
    return name


def functions(text):
    """(first line, last line, name) of every function body in C text."""
    code = PREPROCESSOR.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), bare(text))
    depth, start, opened = 0, 0, None
    for m in re.finditer(r"[{};]", code):
        if m[0] == "{":
            head = code[start:m.start()]
            if depth == 0 and re.search(r"\)\s*$", head):
                opened = (start + len(head) - len(head.lstrip()), head)
            depth += 1
        elif m[0] == "}":
            depth -= 1
            if depth == 0:
                if opened:
                    yield (code.count("\n", 0, opened[0]) + 1,
                           code.count("\n", 0, m.start()) + 1,
                           function_name(opened[1]))
                opened, start = None, m.end()
        elif depth == 0:
            start = m.end()


def rule_length(tree):
    """Functions of at most 100 lines, files of at most 600."""
    lengths = []
    for name in tree.c_files():
        text = tree.text(name)
        lines = text.count("\n")
        if lines > MAX_FILE:
            tree.breach(name, lines, "length",
                        f"{lines} lines; {MAX_FILE} at most")
        for first, last, function in functions(text):
            n = last - first + 1
            if not name.startswith("tests/"):
                lengths.append(n)
            if n > MAX_FUNCTION:
                tree.breach(name, first, "length",
                            f"{function} has {n} lines; "
                            f"{MAX_FUNCTION} at most")
    if lengths:
        lengths.sort()
        tree.notes.append(
            f"{len(lengths)} functions outside tests: median "
            f"{statistics.median(lengths):g} lines, 90 % within "
            f"{lengths[len(lengths) * 9 // 10]}, longest {lengths[-1]}")


BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")


def rule_banned(tree):
    """Calls that have a better one."""
    for name in tree.c_files():
        text = bare(tree.text(name))
        for m in BANNED_CALL.finditer(text):
            tree.breach(name, text.count("\n", 0, m.start()) + 1, "banned",
                        f"{m[1]}(): {BANNED[m[1]]}")


def rule_space(tree):
    """No trailing blanks, tabs in C, carriage returns; a last newline."""
    for name in tree.text_files():
        text = tree.text(name)
        for i, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                tree.breach(name, i, "space", "trailing blank")
            if "\t" in line and name.endswith((".c", ".h")):
                tree.breach(name, i, "space", "tab")
        if text and not text.endswith("\n"):
            tree.breach(name, text.count("\n") + 1, "space",
                        "no newline at the end")


def rule_words(tree):
    """Nothing left open, no path of somebody's machine."""
    words = re.compile(r"\b(" + "|".join(WORDS) + r")\b|("
                       + "|".join(PATHS) + ")")
    for name in tree.text_files():
        text = tree.text(name)
        for m in words.finditer(text):
            tree.breach(name, text.count("\n", 0, m.start()) + 1, "words",
                        m[0])


LINK = re.compile(r"\]\(([^)#\s]+)[^)\s]*\)")


def rule_links(tree):
    """Links and pictures of the documents lead somewhere."""
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        text = tree.text(name)
        for m in LINK.finditer(text):
            if "://" in m[1] or m[1].startswith("mailto:"):
                continue
            if not ((tree.root / name).parent / m[1]).exists():
                tree.breach(name, text.count("\n", 0, m.start()) + 1, "links",
                            f"no such file: {m[1]}")


def rule_shell(tree):
    """shellcheck has nothing to say."""
    tool = shutil.which("shellcheck")
    if not tool:
        raise Missing("shellcheck is not installed")
    scripts = [f for f in tree.files
               if f.endswith((".sh", ".sbatch")) or
               re.match(r"#!.*\b(ba|da)?sh\b", tree.text(f).split("\n")[0]
                        if Path(f).suffix == "" else "")]
    if not scripts:
        return
    run = subprocess.run([tool, "-f", "gcc", "-x", *scripts], cwd=tree.root,
                         capture_output=True, text=True, check=False)
    for line in run.stdout.splitlines():
        m = re.match(r"(\S+?):(\d+):\d+: (.*)", line)
        if m:
            tree.breach(m[1], m[2], "shell", m[3])
    for f in scripts:
        if not f.endswith(".sh") and not os.access(tree.root / f, os.X_OK):
            tree.breach(f, 1, "shell", "has no run bit")


RECIPE = "packaging/spack/package.py"
LIBRARY = re.compile(r"^\s*(?:pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET"
                     r" ([\w.-]+)|find_package\((PNG|MPI)\b)", re.M)
SPACK = {"PNG": "libpng", "MPI": "mpi", "yaml-0.1": "libyaml",
         "libutf8proc": "utf8proc"}


def calls(tree, name):
    """First arguments, where they are words, of the calls of `name`."""
    return {n.args[0].value for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            and n.func.id == name and n.args
            and isinstance(n.args[0], ast.Constant)}


def rule_recipe(tree):
    """Spack's recipe is Python and names every library of the build."""
    if RECIPE not in tree.files:
        return
    try:
        recipe = ast.parse(tree.text(RECIPE))
    except SyntaxError as e:
        tree.breach(RECIPE, e.lineno, "recipe", e.msg)
        return
    named = {re.split(r"[@+~ ]", d)[0] for d in calls(recipe, "depends_on")}
    for m in LIBRARY.finditer(tree.text("CMakeLists.txt")):
        library = SPACK.get(m[1] or m[2], m[1])
        if library not in named:
            tree.breach(RECIPE, 1, "recipe", f"does not depend on {library}")


MPI_SYMBOL = re.compile(r"\b(P?MPI_\w+|ompi_\w+)")


def rule_symbols(tree):
    """The archives given name nothing of MPI."""
    if not tree.archives:
        raise Missing("no --archive to look into")
    for archive in tree.archives:
        run = subprocess.run(["nm", archive], capture_output=True, text=True,
                             check=False)
        if run.returncode:
            tree.breach(archive, 0, "symbols", run.stderr.strip())
        for name in sorted(set(MPI_SYMBOL.findall(run.stdout))):
            tree.breach(archive, 0, "symbols", name)


RULES = {n[5:]: f for n, f in globals().items() if n.startswith("rule_")}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--root", type=Path,
                    default=Path(__file__).resolve().parents[2])
    ap.add_argument("--archive", action="append", default=[])
    ap.add_argument("rule", nargs="*", help="of: " + " ".join(RULES))
    a = ap.parse_args()
    for unknown in [r for r in a.rule if r not in RULES]:
        ap.error(f"unknown rule {unknown!r}; rules: " + " ".join(RULES))
    skipped = 0
    tree = Tree(a.root.resolve(), a.archive)
    for rule in a.rule or RULES:
        try:
            RULES[rule](tree)
        except Missing as e:
            skipped += 1
            print(f"SKIP {rule}: {e}")
            if os.environ.get("CI") and (a.rule or rule != "symbols"):
                tree.breach("lint.py", 0, rule, f"{e}, and CI is set")
    for line in tree.notes + tree.breaches:
        print(line)
    if tree.breaches:
        sys.exit(1)
    sys.exit(77 if skipped and len(a.rule) == 1 else 0)


if __name__ == "__main__":
    main()
