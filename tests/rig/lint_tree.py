# SPDX-License-Identifier: GPL-2.0
"""Rules for the tree's own files that no other tool knows. Each takes a dictionary of
path and text and yields what is wrong, one line each."""
import os
import re

MOST_LINES = 600

# Licence texts, the kernel's options and drawn plots are what they are; the rest carries its licence.
UNLIMITED = re.compile(r"^LICENSE/|^Documentation/benchmarks/.*\.svg$")
NO_SPDX = re.compile(r"^LICENSE/|\.(md|svg|patch|bin)$|\.gitignore$|/(suite|packages|corpus)[^/]*\.txt$|/corpus/")

# Where `unsafe` may be: the module's ground, and the module!() macro's own code.
UNSAFE_HOME = "rust/ground/"
UNSAFE_ALLOWED = {"rust/zcio.rs": ("mod ground;", "mod entry {")}

# Hosts that are named for what they say, not to fetch from.
HOSTS = {"www.w3.org", "lists.debian.org"}


def long_files(files):
    for path, text in files.items():
        lines = text.count("\n")
        if lines > MOST_LINES and not UNLIMITED.search(path):
            yield f"{path}: {lines} lines, more than {MOST_LINES}: give it a second purpose's file"


def spdx(files):
    for path, text in files.items():
        if not NO_SPDX.search(path) and "SPDX-License-Identifier: " not in "".join(text.splitlines(True)[:3]):
            yield f"{path}: no SPDX-License-Identifier in its first three lines"


def unsafe(files):
    for path, text in files.items():
        if not path.startswith("rust/") or not path.endswith(".rs") or path.startswith(UNSAFE_HOME):
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line).partition("//")[0]
            if re.search(r"\bunsafe\b", code):
                yield f"{path}:{number}: unsafe outside {UNSAFE_HOME}"
            if re.search(r"\b(allow|expect|warn)\(.*\bunsafe_code\b", code):
                # The attribute's item: the next line that is no attribute.
                item = next((a for a in lines[number:] if not a.lstrip().startswith("#[")), "").strip()
                if item not in UNSAFE_ALLOWED.get(path, ()):
                    yield f"{path}:{number}: unsafe is allowed for '{item}', which is not its home"


def foreign_names(files):
    """Hosts that the project would fetch from, and folders of whoever wrote it."""
    for path, text in files.items():
        if path.startswith("LICENSE/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            hosts = re.findall(r"\b(?:[\w-]+\.)+(?:org|com)\b", line)
            hosts += re.findall(r"\b(?:https?|ftp|git|ssh)://([\w.-]+)", line)
            for host in sorted(set(hosts) - HOSTS):
                yield f"{path}:{number}: names the host '{host}'"
            for place in re.findall(r"(?<![\w.$}/-])/(?:work|home|root|Users)/\w[^\s'\")]*", line):
                yield f"{path}:{number}: names the folder '{place}' of one machine"


def links(files, exists):
    """Links in Markdown that lead nowhere: to no file, or to no heading of one."""
    for path, text in files.items():
        if not path.endswith(".md"):
            continue
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for target in re.findall(r"\]\(([^()\s]+)\)", prose):
            if re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            place = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not exists(place):
                yield f"{path}: '{target}' leads nowhere"
            elif anchor and anchor not in anchors(files.get(place, "")):
                yield f"{path}: '{target}': {place} has no such heading"


def anchors(text):
    """What headings can be linked to by."""
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def named_tests(files):
    """Names in testing.md's tables of the contract that are no guest test or program any more."""
    path = "Documentation/testing.md"
    chapter = re.search(r"^## The contract's rows.*?(?=^## |\Z)", files.get(path, ""), re.M | re.S)
    programs = {p: text for p, text in files.items() if p.startswith("tests/guest/")}
    # A test, or a variant of one: all that a name is made of stands in one TEST or FIXTURE macro.
    there = {os.path.splitext(os.path.basename(p))[0] for p in programs}
    for text in programs.values():
        there |= set(re.findall(r"^TEST\w*\((?:\w+, )?(\w+)", text, re.M))
        there |= set(re.findall(r"^FIXTURE_VARIANT_ADD\(\w+, (\w+)\)", text, re.M))
    for table in re.findall(r"^\|.*", chapter[0] if chapter else "", re.M):
        for name in re.findall(r"`(\w+)`", table):
            if name not in there:
                yield f"{path}: there is no test '{name}'"
