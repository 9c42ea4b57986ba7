#!/usr/bin/env python3
"""Every rule of lint.py bites: a small clean tree passes, and one breach at a
time is found, by the rule that is meant to find it."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

CLEAN = {
    "core/a.h": "#ifndef A_H\n#define A_H\n\nint weft_a(int x);\n\n#endif\n",
    "core/a.c": '#include "core/a.h"\n\n#include <string.h>\n\n'
                "/* assert( and sprintf( in words are nothing. */\n"
                "int weft_a(int x) { return x + 1; }\n",
    "partition/b.c": '#include "core/a.h"\n\nint weft_b(void);\n'
                     'int weft_b(void) { return weft_a(sizeof "gets(") ; }\n'
                     .replace(" ;", ";"),
    "mpi/c.c": '#include <mpi.h>\n\n#include "core/a.h"\n',
    "launch/d.c": '#include "core/a.h"\n',
    "README.md": "[the code](core/a.c) and [the web](https://example.org)\n",
    "CMakeLists.txt": "pkg_check_modules(X REQUIRED IMPORTED_TARGET yaml-0.1)\n",
    "run": "#!/bin/sh\nexec true\n",
}

LONG = "int weft_f(int x);\nint weft_f(int x)\n{\n" + "    x++;\n" * 97 + \
       "    return x;\n}\n"

# rule, file, text, what the report must say; clean with `fine` in the place
# of the report: the rule must keep quiet.
FINE = None
CASES = [
    ("format", "core/x.c", "int  x;\n", "core/x.c:1: format"),
    ("include", "core/x.c", "#include <mpi.h>\n", "<mpi.h> outside mpi/"),
    ("include", "launch/x.c", "#include <mpi.h>\n", "<mpi.h> outside mpi/"),
    ("include", "core/x.c", '#  include "partition/b.h"\n', "is above core/"),
    ("include", "core/x.h", '#include "mpi/b.h"\n', "is above core/"),
    ("include", "core/x.c", "#include <launch/b.h>\n", "is above core/"),
    ("include", "partition/x.c", '#include "mpi/b.h"\n', "above partition/"),
    ("include", "mpi/x.c", '#include "launch/b.h"\n', "is above mpi/"),
    ("include", "core/x.c", '#include "a.h"\n', "name it from the root"),
    ("include", "core/x.c", '#include "core/none.h"\n', "no file of that"),
    ("include", "core/x.c", "#include <cuda_runtime.h>\n", "cuda/"),
    ("include", "core/device/cuda/x.h", "#include <cudnn.h>\n", FINE),
    ("device", "core/x.c", "#ifdef WEFT_CUDA\n#endif\n", "a device's #if"),
    ("device", "core/device/x.c", "#ifdef __AVX2__\n#endif\n", FINE),
    ("length", "core/x.c", LONG, "weft_f has 101 lines"),
    ("length", "core/x.c", LONG.replace("    x++;\n", "", 1), FINE),
    ("length", "core/x.c", "\n" * 601, "601 lines"),
    ("banned", "tests/x.c", "void f(void) { assert(1); }\n", "assert()"),
    ("banned", "core/x.c", "void f(void) { static_assert(1); }\n", FINE),
    ("banned", "core/x.c", "char *g(void) { return strcpy (a, b); }\n",
     "strcpy()"),
    ("banned", "core/x.c", "int f(void) { return system(s); }\n", "system()"),
    ("banned", "core/x.c", "int f(void) { return ops->system(s); }\n", FINE),
    ("space", "core/x.c", "int x; \n", "trailing blank"),
    ("space", "core/x.c", "\tint x;\n", "tab"),
    ("space", "x.md", "a\r\n", "trailing blank"),
    ("space", "x.yaml", "a: 1", "no newline"),
    ("space", "tests/golden/x.json", "{} ", FINE),
    ("words", "core/x.c", "/* TO" + "DO: later */\n", "TO" + "DO"),
    ("words", "x.md", "see /wo" + "rk/main\n", "/wo" + "rk/"),
    ("words", "core/x.c", 'char t[] = "fXX' + 'XXXX";\n', FINE),
    ("links", "x.md", "![a picture](docs/none.png)\n", "docs/none.png"),
    ("shell", "x.sh", "#!/bin/sh\nrm $1\n", "x.sh:2: shell"),
    ("shell", "tool", "#!/bin/sh\ntrue\n", "has no run bit"),
    ("recipe", "packaging/spack/package.py", "x = 1\nclass W(:\n",
     "package.py:2: recipe"),
    ("recipe", "packaging/spack/package.py", "depends_on('libpng')\n",
     "does not depend on libyaml"),
    ("recipe", "packaging/spack/package.py",
     "depends_on('libyaml@0.2:', type='build')\n", FINE),
]


def lint(root, *args):
    env = {k: v for k, v in os.environ.items() if k != "CI"}
    run = subprocess.run([sys.executable, HERE / "lint.py", "--root", root,
                          *args], capture_output=True, text=True, env=env,
                         check=False)
    return run.returncode, run.stdout + run.stderr


def fill(root):
    for name, text in CLEAN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "run").chmod(0o755)
    (root / ".clang-format").write_text((ROOT / ".clang-format").read_text())


def try_case(root, rule, name, text, want):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    code, out = lint(root, rule)
    path.unlink()
    if code == 77:
        print(f"SKIP {rule}: {out.strip()}")
        return True
    good = code == 0 if want is FINE else code == 1 and want in out
    if not good:
        print(f"FAIL {rule} on {name}: wanted {want or 'silence'}, "
              f"exit {code}:\n{out}")
    return good


def try_symbols(root):
    """An object that calls MPI must not pass for the core library."""
    src, obj = root / "s.c", root / "s.o"
    results = []
    for call, want in (("MPI_Init", 1), ("weft_init", 0)):
        src.write_text(f"int {call}(void);\nint f(void);\n"
                       f"int f(void) {{ return {call}(); }}\n")
        subprocess.run([os.environ.get("CC", "cc"), "-c", src, "-o", obj],
                       check=True)
        code, out = lint(root, "--archive", str(obj), "symbols")
        results.append(code == want)
        if code != want:
            print(f"FAIL symbols on {call}: exit {code}\n{out}")
    src.unlink()
    obj.unlink()
    return all(results)


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root)
        code, out = lint(root)
        good = [code == 0]
        if code:
            print(f"FAIL the clean tree: exit {code}\n{out}")
        good += [try_case(root, *case) for case in CASES]
        good.append(try_symbols(root))
    print(f"{sum(good)} of {len(good)} as expected")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
