#!/usr/bin/env python3
"""Plants each fault of faults.txt in a copy of its source file and expects the tests named there to find it.

The edits stand in a list of their own rather than behind a switch in the sources: nothing that ships can be told to do
the wrong thing, and the recipes stay readable. An edited file is compiled for itself and linked before the library, of
which it takes the member's place.

  tests/crash/test_faults.py [NAME...]    only these; BUILD, CC and CFLAGS as in make test, which built the library
"""
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

BUILD = os.environ.get("BUILD", "build")
SMALL = os.path.join(BUILD, "small")
CC = shlex.split(os.environ.get("CC", "cc"))
CFLAGS = shlex.split(os.environ.get("CFLAGS", ""))
DIALECT = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-Iinclude", "-DHAUSKV_CHUNK_BYTES=2048", "-w", "-O1"]
LIBRARIES = ["-lsodium", "-lcriterion", "-lcjson", "-pthread"]
PROGRAMS = {
    "unit": sorted("tests/unit/transaction/" + name for name in os.listdir("tests/unit/transaction")
                   if name.endswith(".c")),
    "stepper": ["tests/crash/program_stepper.c"],
    "recoverer": ["tests/crash/program_stepper.c"],
    "model": sorted("tests/model/" + name for name in os.listdir("tests/model")
                    if name.startswith("test_") and name.endswith(".c")),
}
# Shorter than Criterion's limits in the tests: what hangs has found nothing, and is not to be taken for a failed test.
TIME_LIMIT_SECONDS = 120
TIMED_OUT = (124, 137, -9)  # what timeout ends with: by its first signal, by SIGKILL, by its own SIGKILL


class Fault:
    def __init__(self, name, description):
        self.name = name
        self.description = description
        self.program = self.filter = None
        self.edits = []  # of one place: file, right lines, wrong lines


def catalogue(path):
    faults = []
    file = None
    for line in open(path, encoding="ascii"):
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "fault":
            faults.append(Fault(*rest.split(" ", 1)))
        elif word == "by":
            faults[-1].program, faults[-1].filter = rest.split(" ", 1)
        elif word == "in":
            file = rest
        elif line.startswith("-"):
            if not faults[-1].edits or faults[-1].edits[-1][2] or faults[-1].edits[-1][0] != file:
                faults[-1].edits.append((file, [], []))
            faults[-1].edits[-1][1].append(line[1:].rstrip("\n"))
        elif line.startswith("+"):
            faults[-1].edits[-1][2].append(line[1:].rstrip("\n"))
    return faults


def edited(fault):
    """The wrong sources by file. A block may begin or end in the middle of a line."""
    texts = {}
    for file, right, wrong in fault.edits:
        right, wrong = "\n".join(right), "\n".join(wrong)
        if file not in texts:
            texts[file] = open(file, encoding="utf-8").read()
        if texts[file].count(right) != 1:
            raise ValueError(f"does not apply to {file}, which has {texts[file].count(right)} times: {right.strip()}")
        texts[file] = texts[file].replace(right, wrong)
    return texts


def object_of(source):
    return os.path.join(SMALL, "object", source[:-2] + ".o")


def build(fault):
    directory = os.path.join(BUILD, "faults", fault.name)
    program = os.path.join(directory, fault.program)
    objects = []
    os.makedirs(directory, exist_ok=True)
    for file, text in edited(fault).items():
        source = os.path.join(directory, os.path.basename(file))
        with open(source, "w", encoding="utf-8") as target:
            target.write(text)
        objects.append(source + ".o")
        subprocess.run([*CC, *CFLAGS, *DIALECT, "-iquote", os.path.dirname(file), "-c", "-o", objects[-1], source],
                       check=True)
    archives = [os.path.join(SMALL, "libtesthelpers.a"), os.path.join(SMALL, "libhauskv.a")]
    objects += map(object_of, PROGRAMS[fault.program])
    subprocess.run([*CC, *CFLAGS, "-o", program, *objects, *archives, *LIBRARIES], check=True)
    return program


def run(fault, program):
    """Whether the tests fail, and what they say. The first failure will do."""
    environment = dict(os.environ, HAUSKV_CRASH_ONLY=fault.filter,
                       HAUSKV_CRASH_LEVEL="0" if fault.program == "recoverer" else "1")
    arguments = ["--fail-fast", "--filter", fault.filter] if fault.program in ("model", "unit") else []
    process = subprocess.run(["timeout", "-k", "5", str(TIME_LIMIT_SECONDS), program, *arguments], env=environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             encoding="utf-8", errors="replace", check=False)
    if process.returncode in TIMED_OUT:
        return False, f"not done in {TIME_LIMIT_SECONDS} s"
    lines = [line.strip() for line in process.stdout.splitlines()]
    said = [line for line in lines if line.startswith("VIOLATION: ") or "ended with" in line] or lines[-1:]
    has_run = not lines or lines[-1] != "0 passed, 0 failed"
    return process.returncode != 0 and has_run, said[0].removeprefix("VIOLATION: ") if said else ""


def plant(fault):
    try:
        is_found, said = run(fault, build(fault))
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        return False, f"{fault.name}: NOT PLANTED: {error}"
    by = f"{fault.program} {fault.filter}"
    if is_found:
        return True, f"{fault.name}: caught by {by}: {said}"
    return False, f"{fault.name}: NOT FOUND by {by}: {fault.description}: {said}"


def main():
    faults = catalogue(os.path.join("tests", "crash", "faults.txt"))
    if len(sys.argv) > 1:
        faults = [fault for fault in faults if fault.name in sys.argv[1:]]
    if "-fsanitize" in " ".join(CFLAGS):
        print("[SKIP] crash faults: a sanitizer's instructions would be stepped too\n1 passed, 0 failed")
        return 0
    passed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for is_found, line in pool.map(plant, faults):
            print(line, flush=True)
            passed += is_found
    print(f"figures: {passed} of {len(faults)} planted faults caught")
    print(f"{passed} passed, {len(faults) - passed} failed")
    return 0 if passed == len(faults) and faults else 1


sys.exit(main())
