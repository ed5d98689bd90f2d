"""Builds a faulty program and runs the fast part of the suite against it, up to the first test that fails."""
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
CC = os.environ.get("CC", "cc").split()
DIALECT = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-Iinclude", "-O1", "-w"]
SMALL = "-DHAUSKV_CHUNK_BYTES=2048"
ENGINE_LAYERS = "segment table transaction store"
LIBRARIES = ["-Wl,--as-needed", "-lsodium", "-lcriterion", "-lcjson"]
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount",
              "--ipc", "--net", "--kill-child"]
COMPILER_LIMIT_SECONDS = 60
# A program is given so long, and so many times what it takes without a fault.
LIMIT_SECONDS = 20
LIMIT_FACTOR = 5

FAILED_CASE = re.compile(r"\[FAIL\] ([\w:]+)")
VIOLATION = re.compile(r"^(\S+) .* [1-9]\d* violations|^(\S+): its process ended", re.MULTILINE)


@dataclass
class Program:
    """A test program, by its path in the build, and how it is called."""
    name: str
    path: str
    arguments: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    needs_server: bool = False

    def is_small(self):
        return self.path.startswith("small/")

    def objects(self, tree):
        """Its own, without the helpers' and the library's."""
        base = os.path.basename(self.path)
        if base.startswith("unit-"):
            folder, beginning = f"tests/unit/{base[5:]}", ""
        elif "-" in base:
            folder, beginning = f"tests/{base.split('-')[0]}", f"program_{base.split('-')[1]}."
        else:
            folder, beginning = f"tests/{base}", "test_"
        return [f"object/{folder}/{name[:-2]}.o" for name in sorted(os.listdir(os.path.join(tree, folder)))
                if name.startswith(beginning) and name.endswith(".c")]


def unit(layer, size=""):
    return Program(f"{size}unit-{layer}".replace("/", " "), f"{size}tests/unit-{layer}")


MODEL_FILTER = "@(random_operations/*|histories/*|churn/*|memory/!(millions*|four_fifths*|half_of*))"
PROGRAMS = {program.name: program for program in [
    *(unit(layer) for layer in ("segment", "table", "transaction", "store", "protocol", "session", "server")),
    *(unit(layer, "small/") for layer in ("segment", "table", "transaction", "store")),
    Program("small model", "small/tests/model", ["--filter", MODEL_FILTER], {"HAUSKV_TEST_STEPS": "1000"}),
    Program("stepper", "small/tests/crash-stepper", [], {"HAUSKV_CRASH_LEVEL": "1"}),
    Program("stepper of recoverers", "small/tests/crash-stepper", [], {"HAUSKV_CRASH_ONLY": "recovery"}),
    Program("storm", "small/tests/crash"),
    Program("live", "tests/live", needs_server=True),
    Program("restart", "tests/survival", ["--filter", "restart/*"], needs_server=True),
]}

# By group the programs that are run, the likeliest to notice first.
ENGINE = ["small unit-store", "small model", "stepper", "stepper of recoverers", "storm"]
SUITE = {
    "segment": ["unit-segment", "small unit-segment", "unit-table", "unit-transaction", "small unit-transaction",
                *ENGINE, "restart"],
    "table": ["unit-table", "small unit-table", "unit-transaction", "small unit-transaction", *ENGINE],
    "transaction": ["unit-transaction", "small unit-transaction", "unit-store", *ENGINE],
    "recovery": ["unit-transaction", "small unit-transaction", "unit-table", "small unit-table", *ENGINE],
    "key locks": ["unit-transaction", "small unit-transaction", "unit-store", *ENGINE, "unit-session", "live"],
    "parser": ["unit-protocol", "unit-session", "live"],
    "reply": ["unit-protocol", "unit-session", "live"],
    "session": ["unit-session", "unit-store", "live"],
}


def is_possible():
    """Whether this machine lets us make namespaces; says why not."""
    attempt = subprocess.run([*NAMESPACES, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if attempt.returncode != 0:
        print(f"mutants: a fault may do anything, so each runs in namespaces of its own: {attempt.stderr.strip()}",
              file=sys.stderr)
    return attempt.returncode == 0


def environment_for_make():
    """Without the flags of a make around this process, whose job server is not ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}


class Ground:
    """A copy of the project, built once without a fault: folder/tree, folder/build."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.tree = os.path.join(self.folder, "tree")
        self.build = os.path.join(self.folder, "build")
        self.seconds = {}

    def prepare(self):
        shutil.rmtree(self.tree, ignore_errors=True)
        shutil.rmtree(os.path.join(self.folder, "trial"), ignore_errors=True)
        os.makedirs(self.tree)
        for name in ("include", "src", "tests", "fuzz"):
            if os.path.isdir(os.path.join(PROJECT, name)):
                shutil.copytree(os.path.join(PROJECT, name), os.path.join(self.tree, name))
        shutil.copy2(os.path.join(PROJECT, "GNUmakefile"), self.tree)
        self._make("", ["FOLDERS=live survival", "programs", "test-programs"])
        layers = f"TESTED_LAYERS={ENGINE_LAYERS}"
        self._make("small", [f"VARIANT={SMALL}", layers, "FOLDERS=model crash", "test-programs"])

    def _make(self, variant, arguments):
        make = ["make", "--no-print-directory", "-j2", "-C", self.tree, f"BUILD={os.path.join(self.build, variant)}"]
        subprocess.run([*make, "CFLAGS=-O1", "WARNINGS=-w", *arguments], check=True, env=environment_for_make(),
                       stdout=subprocess.DEVNULL)

    def measure(self, names):
        """Runs each program as it is; the names of those that fail."""
        failed = []
        for name in names:
            begin = time.monotonic()
            outcome = run(self, PROGRAMS[name], os.path.join(self.build, PROGRAMS[name].path),
                          os.path.join(self.build, "hauskv-server"), 600)
            self.seconds[name] = time.monotonic() - begin
            if outcome.kind != "passed":
                failed.append(f"{name}: {outcome.kind} {outcome.test}")
        return failed


@dataclass
class Outcome:
    kind: str  # "passed" (all programs), "killed", "timed out", "not compiled"
    program: str = ""
    test: str = ""
    said: str = ""
    is_earlier: bool = False  # taken over from an earlier run


def run(ground, program, path, server, limit_seconds):
    environment = dict(os.environ, TERM="dumb", CRITERION_VERBOSITY_LEVEL="1", BUILD=ground.build, HAUSKV_SERVER=server,
                       **program.environment)
    criterion = [] if "stepper" in program.name else ["--fail-fast"]
    command = [*NAMESPACES, sys.executable, "-B", os.path.join(HERE, "isolate.py"), ground.folder, path,
               *program.arguments, *criterion]
    process = subprocess.Popen(command, cwd=ground.tree, env=environment, start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    try:
        said, _ = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # and so the first process of its namespace, and so all
        process.communicate()
        return Outcome("timed out", program.name)
    if process.returncode == 0:
        return Outcome("passed")
    return Outcome("killed", program.name, first_failure(said, process.returncode), said)


def first_failure(said, status):
    case = FAILED_CASE.search(said)
    if case:
        return case.group(1).rstrip(":").replace("::", "/")
    operation = VIOLATION.search(said)
    if operation:
        return operation.group(1) or operation.group(2)
    return f"ended with status {status}"


class Trial:
    """One fault, in a folder of its own of the ground."""

    def __init__(self, ground, mutant, number):
        self.ground = ground
        self.mutant = mutant
        self.folder = os.path.join(ground.folder, "trial", str(number))
        self.is_linked = set()

    def conduct(self, names):
        os.makedirs(self.folder, exist_ok=True)
        try:
            return self._conduct(names)
        finally:
            shutil.rmtree(self.folder)

    def _conduct(self, names):
        if not self._compile(""):
            return Outcome("not compiled")
        for name in names:
            program = PROGRAMS[name]
            if not self._link_all(program):
                return Outcome("not compiled")
            outcome = self._run(program)
            if outcome.kind == "timed out" or outcome.kind == "killed" and self._is_confirmed(program, outcome):
                return outcome
        return Outcome("passed")

    def _run(self, program):
        return run(self.ground, program, os.path.join(self.folder, program.path.replace("/", "-")),
                   os.path.join(self.folder, "hauskv-server"),
                   LIMIT_SECONDS + LIMIT_FACTOR * self.ground.seconds[program.name])

    def _is_confirmed(self, program, outcome):
        """A test that fails once and then passes says something about itself, not about the fault."""
        if self._run(program).kind != "passed":
            return True
        log = os.path.join(self.ground.folder, "unconfirmed.log")
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"== {self.mutant.key()}\n{program.name}: {outcome.test}\n{outcome.said}\n")
        print(f"not counted: {program.name}, {outcome.test} failed once and then passed, see {log}", file=sys.stderr)
        return False

    def _compile(self, size):
        source = os.path.join(self.folder, os.path.basename(self.mutant.file))
        target = os.path.join(self.folder, f"{size.strip('/')}fault.o")
        with open(os.path.join(self.ground.tree, self.mutant.file), encoding="utf-8") as original:
            text = self.mutant.apply(original.read())
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        variant = [SMALL] if size else []
        beside = ["-iquote", os.path.dirname(self.mutant.file)]
        return self._tool([*CC, *DIALECT, *variant, *beside, "-c", "-o", target, source])

    def _link_all(self, program):
        if program.needs_server and not self._link("hauskv-server", "", ["object/src/main.o"]):
            return False
        size = "small/" if program.is_small() else ""
        if size and not os.path.exists(os.path.join(self.folder, "smallfault.o")) and not self._compile(size):
            return False
        return self._link(program.path.replace("/", "-"), size, program.objects(self.ground.tree))

    def _link(self, target, size, objects):
        """The faulty object comes before the library, of whose member it takes the place."""
        if target in self.is_linked:
            return True
        self.is_linked.add(target)
        base = os.path.join(self.ground.build, size)
        helpers = [os.path.join(base, "libtesthelpers.a")] if "tests" in objects[0] else []
        return self._tool([*CC, "-pthread", "-o", os.path.join(self.folder, target),
                           *(os.path.join(base, name) for name in objects),
                           os.path.join(self.folder, f"{size.strip('/')}fault.o"), *helpers,
                           os.path.join(base, "libhauskv.a"), *LIBRARIES])

    def _tool(self, command):
        try:
            return subprocess.run(command, cwd=self.ground.tree, stderr=subprocess.DEVNULL, check=False,
                                  timeout=COMPILER_LIMIT_SECONDS).returncode == 0
        except subprocess.TimeoutExpired:
            return False
