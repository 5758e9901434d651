#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Everything that can be said of the sources without running them.

Each check is one test: a command that must succeed, or a rule of lint_tree.py that must
find nothing. Run inside the rig's root with a kernel (tests/rig/enter --kernel …), by the
suite or by itself:  lint.py [PATTERN…]   runs those whose name matches a pattern.
"""
import fnmatch
import glob
import os
import re
import subprocess
import sys
import time

import lint_tree

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
OUT = os.path.join(TOP, "build", "lint")
MOST_SHOWN = 60

# checkpatch types that are about kernel code, or wrong in user space; why is beside them.
NOT_IN_USER_SPACE = [
    "PREFER_KERNEL_TYPES",              # uint64_t is user space's own
    "BIT_MACRO",                        # BIT() is the kernel's
    "VOLATILE",                         # to make the compiler read memory that others change
    "CAMELCASE",                        # _Atomic, _Static_assert: words of C11
    "PREFER_DEFINED_ATTRIBUTE_MACRO",   # __maybe_unused is the kernel's
    "MACRO_WITH_FLOW_CONTROL",          # as in the kernel's own kselftest_harness.h,
    "MACRO_ARG_REUSE",                  # whose assertions must be macros to name a line
    "NEW_TYPEDEFS",                     # of arrays, for which C has no other name
    "EMBEDDED_FUNCTION_NAME",           # a word in a sentence that is also a function's name
    "FUNCTION_ARGUMENTS",               # not understood: const struct iovec (*iov)[2]
    "SPLIT_STRING", "LONG_LINE_STRING",  # sentences for people
    "BRACES",                           # an assertion of the harness is several statements
    "AVOID_EXTERNS",                    # BPF's kfuncs are declared so
]
# What it takes for slips there: pointers to types that a macro makes, arguments of macros
# left empty, sizes of types beside an operator, _Atomic, declarations that a macro makes.
MISREAD = re.compile(r"spaces preferred around that '\*' \(ctx:WxV\)"
                     r"|SPACING: space prohibited before that (','|close parenthesis)"
                     r"|SPACING: No space is necessary after a cast"
                     r"|LINE_SPACING: Missing a blank line after declarations"
                     r"|guest/flow\.h:\d+: WARNING:MULTISTATEMENT_MACRO_USE_DO_WHILE")


def tracked(*patterns):
    """The files of the tree, new ones among them: as git knows them, or all but what a build makes."""
    listed = subprocess.run(["git", "-C", TOP, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    names = set(listed.stdout.splitlines()) if listed.returncode == 0 else set(walked())
    return [name for name in sorted(names) if os.path.isfile(os.path.join(TOP, name))
            and (not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns))]


def walked():
    """Where git is not at hand: an archive, or a worktree whose repository the root does not show."""
    for folder, folders, files in os.walk(TOP):
        folders[:] = [name for name in folders if name not in (".git", "build", "target", "__pycache__")]
        for name in files:
            if name not in ("Cargo.lock", ".git") and not name.endswith("_generated.rs"):
                yield os.path.relpath(os.path.join(folder, name), TOP)


def first_line(path):
    with open(os.path.join(TOP, path), "rb") as file:
        return file.readline(80)


def scripts(interpreter, ending):
    return [name for name in tracked()
            if name.endswith(ending) or re.match(rb"#!.*\b" + interpreter, first_line(name))]


def run(command, folder=TOP, **variables):
    """A command's output if it failed, else nothing."""
    env = {**os.environ, "CARGO_TARGET_DIR": os.path.join(TOP, "build", "cargo"), **variables}
    done = subprocess.run(command, cwd=os.path.join(TOP, folder), env=env, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return f"{done.stdout}\n{' '.join(command[:3])}…: status {done.returncode}\n" if done.returncode else ""


def rule(check, *more):
    """What a rule of lint_tree finds in the whole tree."""
    files = {}
    for path in tracked():
        with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as file:
            files[path] = file.read()
    return "\n".join(check(files, *more))


def clippy(folder):
    """What clippy has to say of a test crate; the fuzz targets' library is as tests/host/fuzz has it."""
    with open(os.path.join(TOP, folder, "Cargo.toml"), encoding="utf-8") as file:
        fuzz = "cargo-fuzz = true" in file.read()
    replaced = ["--config", 'patch.crates-io.libfuzzer-sys.path="libfuzzer-sys"']
    return run(["cargo", "clippy", "--offline", *(replaced if fuzz else []),
                "--all-targets", "--", "-Dwarnings", "-Dunsafe_op_in_unsafe_fn",
                "-Dclippy::undocumented_unsafe_blocks"], folder)


def module_warnings():
    """The module built again, by clippy and with all warnings of W=1, none allowed."""
    out = os.path.join(OUT, os.environ["ZCIO_KERNEL"])
    return run(["tests/rig/make-module", out, "CLIPPY=1", "W=1", "KCFLAGS=-Werror"])


def checkpatch(files, *options, misread=re.compile("$^")):
    """What the kernel's own checker says of files, but for what it is known to misread."""
    os.makedirs(os.path.join(OUT, "include"), exist_ok=True)    # it leaves a file where it runs
    tool = os.path.join(os.environ["KDIR"], "scripts", "checkpatch.pl")
    done = subprocess.run(["perl", tool, "--no-tree", f"--root={OUT}", "--strict", "--terse", "--show-types",
                           "--no-summary", *options, "--file", *(os.path.join(TOP, name) for name in files)],
                          cwd=OUT, capture_output=True, text=True, errors="replace", check=False)
    said = [line.removeprefix(TOP + "/") for line in done.stdout.splitlines() if not misread.search(line)]
    # It says nothing where it cannot run.
    return "\n".join(said) + ("" if done.returncode in (0, 1) and not done.stderr else done.stderr or "it failed")


def mutants():
    """What patch says of mutants that the module has outgrown: nobody would notice what they plant."""
    dry = ["patch", "-p1", "--dry-run", "-s", "-F3", "-i"]
    return "".join(run([*dry, name]) for name in tracked("tests/mutants/*.patch"))


def c_files(*folders):
    return [name for name in tracked("*.c", "*.h") if name.startswith(folders)]


def checks():
    """Names of the checks, and what to call for what each has to say."""
    yield "rustfmt of the module", lambda: run(["rustfmt", "--check", "--edition", "2021", "rust/zcio.rs"])
    for folder in (os.path.dirname(name) for name in tracked("tests/*Cargo.toml")):
        yield f"rustfmt of {folder}", lambda folder=folder: run(["cargo", "fmt", "--check"], folder)
        yield f"clippy of {folder}", lambda folder=folder: clippy(folder)
    yield "rustfmt of userspace", lambda: run(["make", "check-format"], "userspace")
    yield "clippy of userspace", lambda: run(["make", "check-clippy"], "userspace")
    yield "rustdoc of userspace", lambda: run(["make", "check-doc"], "userspace")
    yield "clippy and W=1 of the module", module_warnings
    yield "clang's warnings of userspace", lambda: run(["make", "check-clang"], "userspace")
    for folder in ("tests/guest", "tests/bench"):
        yield f"clang's warnings of {folder}", lambda folder=folder: run(["make", "check-clang"], folder)
    # CONST_STRUCT: the operations of a spliced socket are a copy of the kernel's, with changes.
    yield ("checkpatch of the module",
           lambda: checkpatch(c_files("rust/", "uapi/"), "--ignore=BIT_MACRO,CONST_STRUCT"))
    yield ("checkpatch of userspace and tests",
           lambda: checkpatch(c_files("userspace/", "tests/"), "--max-line-length=120",
                              "--ignore=" + ",".join(NOT_IN_USER_SPACE), misread=MISREAD))
    yield ("shellcheck",
           lambda: run(["shellcheck", "-x", "-P", "SCRIPTDIR", *scripts(rb"(ba|da)?sh\b", ".sh")]))
    yield ("pylint", lambda: run(["pylint", "--rcfile", "tests/rig/pylintrc", *scripts(rb"python3", ".py")],
                                 PYTHONPATH=os.pathsep.join(glob.glob(os.path.join(TOP, "tests", "*", "")))))
    yield "mutants apply", mutants
    yield "files have one purpose's length", lambda: rule(lint_tree.long_files)
    yield "files name their licence", lambda: rule(lint_tree.spdx)
    yield "unsafe only where it may be", lambda: rule(lint_tree.unsafe)
    yield "no foreign host or folder is named", lambda: rule(lint_tree.foreign_names)
    yield "tests that are named in the documentation are there", lambda: rule(lint_tree.named_tests)
    yield ("links in the documentation lead somewhere",
           lambda: rule(lint_tree.links, lambda path: os.path.exists(os.path.join(TOP, path))))


def main():
    patterns = sys.argv[1:] or ["*"]
    bad = done = 0
    for name, check in checks():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            start = time.monotonic()
            said = check()
            print(f"{'FAIL' if said else 'ok  '} {name}, {time.monotonic() - start:.1f} s", flush=True)
            lines = said.splitlines()
            print("".join(f"    | {line}\n" for line in lines[:MOST_SHOWN]), end="")
            if len(lines) > MOST_SHOWN:
                print(f"    | … and {len(lines) - MOST_SHOWN} lines more")
            bad += bool(said)
            done += 1
    print(f"{done - bad} passed, {bad} failed")
    return 1 if bad or not done else 0


if __name__ == "__main__":
    sys.exit(main())
