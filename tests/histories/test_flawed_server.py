#!/usr/bin/env python3
"""Plants flaws in a copy of the server's sources, lets random clients use the server that comes of it, and expects
every checker of histories to refuse what they saw.

An edited file is compiled for itself and linked before the library, of which it takes the member's place; nothing that
ships can be told to do the wrong thing.

  tests/histories/test_flawed_server.py [NAME...]    only these flaws; BUILD, CC and CFLAGS as in make test
"""
import os
import shlex
import subprocess
import sys

BUILD = os.environ.get("BUILD", "build")
CC = shlex.split(os.environ.get("CC", "cc"))
CFLAGS = shlex.split(os.environ.get("CFLAGS", ""))
DIALECT = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-Iinclude", "-w", "-O2"]
LIBRARIES = ["-lsodium", "-pthread"]
TIME_LIMIT_SECONDS = 120

# Name, what is wrong, file, the right words, which must be there exactly once, and the wrong ones.
FLAWS = [
    ("NO_VALIDATION", "COMMIT does not look whether what was read has changed", "src/transaction/commit.c",
     "static enum status commit_validate(struct commit *commit)\n{\n",
     "static enum status commit_validate(struct commit *commit)\n{\n    return STATUS_OK;\n"),
    ("NO_SNAPSHOT", "a read sees the latest commit and not the snapshot", "src/table/table_read.c",
     "        if (begin <= snapshot) {",
     "        if (begin <= TIME_INFINITE) {"),
]

# A plan of live_plan.c for each checker, and how many transactions a history has.
PLANS = [("order", 8000), ("search", 2000), ("cycles-16", 4000)]


def build(name, file, right, wrong):
    """Two servers, the second of which answers times, in folders as those of the right ones are."""
    text = open(file, encoding="utf-8").read()
    if text.count(right) != 1:
        raise ValueError(f"does not apply to {file}, which has {text.count(right)} times: {right.strip()}")
    directory = os.path.join(BUILD, "flawed", name)
    source = os.path.join(directory, os.path.basename(file))
    os.makedirs(os.path.join(directory, "times"), exist_ok=True)
    with open(source, "w", encoding="utf-8") as target:
        target.write(text.replace(right, wrong))
    subprocess.run([*CC, *DIALECT, *CFLAGS, "-iquote", os.path.dirname(file), "-c", "-o", source + ".o", source],
                   check=True)
    for variant in ("", "times"):
        objects = [os.path.join(BUILD, variant, "object/src/main.o"), source + ".o"]
        server = os.path.join(directory, variant, "hauskv-server")
        subprocess.run([*CC, *CFLAGS, "-o", server, *objects, os.path.join(BUILD, variant, "libhauskv.a"), *LIBRARIES],
                       check=True)
    return os.path.join(directory, "hauskv-server")


def refused(server, plan, transactions):
    """Whether it is, and what the checker says."""
    environment = dict(os.environ, HAUSKV_SERVER=server, HAUSKV_TEST_STEPS=str(transactions))
    command = ["timeout", "-k", "5", str(TIME_LIMIT_SECONDS), os.path.join(BUILD, "tests/histories-check"), "--refused",
               plan]
    process = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace", check=False)
    lines = process.stdout.splitlines()
    return process.returncode == 0 and lines[-1:] == ["1 passed, 0 failed"], lines[1] if len(lines) > 1 else ""


def main():
    passed = failed = 0
    for name, description, *edit in FLAWS:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        try:
            server = build(name, *edit)
        except (ValueError, OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: NOT PLANTED: {error}")
            failed += 1
            continue
        for plan, transactions in PLANS:
            is_refused, said = refused(server, plan, transactions)
            verdict = "refused" if is_refused else "BELIEVED: " + description
            print(f"{name}: {plan}: {verdict}: {said[:200]}", flush=True)
            passed += is_refused
            failed += not is_refused
    print(f"figures: {passed} of {passed + failed} times a flawed server was refused")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main())
