#!/usr/bin/env python3
"""README.md against the server: its conversations work as printed, its tables have every command and option with its
default, the files that it names are there, and so are the tests named beside every promise. nc need not be installed: a small one stands in for it. The last line is
`N passed, N failed`."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER = os.path.abspath(os.environ.get("HAUSKV_SERVER", os.path.join(ROOT, "build", "hauskv-server")))
PATIENCE_S = 30
NC_WITH_ADDRESS = "nc 127.0.0.1 9888"

# Takes -N as OpenBSD's nc does, and sends to our server what is meant for port 9888.
NC = """#!%s
import os, socket, sys
options, (host, port) = sys.argv[1:-2], sys.argv[-2:]
assert port == "9888" and set(options) <= {"-N"}
server = socket.create_connection((host, int(os.environ["README_PORT"])))
server.sendall(sys.stdin.buffer.read())
if "-N" in options:
    server.shutdown(socket.SHUT_WR)
while True:
    received = server.recv(65536)
    if not received:
        break
    sys.stdout.buffer.write(received)
""" % sys.executable


class Failure(Exception):
    pass


def expect(condition, complaint):
    if not condition:
        raise Failure(complaint)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.replies = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def say(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.replies.readline().rstrip("\n")


class Server:
    def __init__(self):
        name = "readme-%d" % os.getpid()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HAUSKV_")}
        self.process = subprocess.Popen([SERVER, "--name", name, "--port", "0", "--memory", "16m", "--discard"],
                                        stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stderr:
            if line.startswith("ready: 127.0.0.1:"):
                self.port = int(line.rsplit(":", 1)[1])
                return
        raise Failure("the server does not serve")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.close()
        expect(self.process.wait(PATIENCE_S) == 0, "the server did not end in order")


def play_typed(lines, port):
    """What somebody types into nc, and what comes back."""
    client = Client(port)
    while lines:
        expect(not lines[0].startswith("{"), "a reply to nothing: " + lines[0])
        said = lines.pop(0)
        wanted = lines.pop(0)
        reply = client.say(said)
        expect(reply == wanted, "%s: answered %s, not %s" % (said, reply, wanted))
    expect(client.replies.readline() == "", "the connection goes on")


def play_several(lines, port):
    """A> and B> are clients of their own."""
    clients = {}
    while lines:
        who, said = lines.pop(0).split("> ", 1)
        wanted = lines.pop(0)
        if who not in clients:
            clients[who] = Client(port)
        reply = clients[who].say(said)
        expect(reply == wanted, "%s> %s: answered %s, not %s" % (who, said, reply, wanted))


def play_shell(lines, port, folder):
    """$ is a command; what follows it is its output."""
    environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], README_PORT=str(port))
    while lines:
        command = lines.pop(0)[2:]
        wanted = ""
        while lines and not lines[0].startswith("$ "):
            wanted += lines.pop(0) + "\n"
        done = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True,
                              timeout=PATIENCE_S, check=False)
        expect(done.stdout == wanted, "%s: printed\n%snot\n%s" % (command, done.stdout, wanted))


def conversations_work_as_printed(readme):
    server = Server()
    played = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "nc"), "w", encoding="utf-8") as script:
                script.write(NC)
            os.chmod(script.name, 0o755)
            with open(os.path.join(folder, "picture.png"), "wb") as picture:
                picture.write(bytes(range(256)) * 100)
            for block in re.findall(r"^```\n(.*?)^```$", readme, re.M | re.S):
                lines = block.splitlines()
                played += 1
                if lines[0] == "$ " + NC_WITH_ADDRESS:
                    play_typed(lines[1:], server.port)
                elif lines[0].startswith("$ "):
                    play_shell(lines, server.port, folder)
                elif re.match(r"[A-Z]> ", lines[0]):
                    play_several(lines, server.port)
                else:
                    played -= 1
    finally:
        server.stop()
    expect(played >= 5, "only %d conversations" % played)


def rows_of_tables(readme):
    """The cells of each row, the | inside of code unescaped."""
    for line in readme.splitlines():
        if line.startswith("| "):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def options_are_those_of_help(readme):
    printed = subprocess.run([SERVER, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    wanted = {}
    for line in printed.splitlines():
        option = re.match(r"  (--\S+(?: [A-Z]+)?) {2,}.*?(?: \[([^]]*)\])?$", line)
        if option:
            wanted["`%s`" % option[1]] = "`%s`" % option[2] if option[2] else ""
    found = {row[0]: row[1] for row in rows_of_tables(readme) if re.fullmatch("`--[^`]*`", row[0])}
    expect(len(wanted) > 20, "--help has only %d options" % len(wanted))
    expect(found == wanted, "README.md and --help differ in %s" % sorted(set(found.items()) ^ set(wanted.items())))


def commands_are_those_of_help(readme):
    server = Server()
    try:
        reply = Client(server.port).say("HELP")
    finally:
        server.stop()
    usages = re.findall(r'"((?:[^"\\]|\\.)*)"', reply.split("[", 1)[1].rsplit("]", 1)[0])
    cells = ", ".join(row[0] for row in rows_of_tables(readme))
    expect(len(usages) >= 15, reply)
    for usage in usages:
        usage = usage.replace('\\"', '"')
        expect("`%s`" % usage in cells, "README.md has no row for %s" % usage)


def files_are_there(readme):
    for path in re.findall(r"`((?:src|include|spec|tests|\.ci)/[\w./-]*)`", readme):
        expect(os.path.exists(os.path.join(ROOT, path)), path)
    for target in re.findall(r"`make ([a-z-]+)`", readme):
        with open(os.path.join(ROOT, "GNUmakefile"), encoding="utf-8") as makefile:
            expect(re.search(r"^%s:" % target, makefile.read(), re.M), "make " + target)


def tests_that_are_there():
    """suite/name of every test, and of the specifications that tests/schedules plays."""
    found = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "tests")):
        for name in files:
            if name.endswith(".spec"):
                found.add("specs/" + name[:-len(".spec")])
            elif name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as source:
                    found.update("/".join(test) for test in
                                 re.findall(r"^(?:Test|[A-Z]+_TEST)\((\w+),\s*(\w+)\b", source.read(), re.M))
    return found


def section(readme, begin, end):
    expect(begin in readme, "README.md has no " + begin)
    return readme.split(begin, 1)[1].split(end, 1)[0]


def promises(readme):
    """The lines of the two sections that say what holds: rows of tables without their heads, and whole bullets."""
    text = section(readme, "## What a transaction promises", "\n## ") + section(readme, "**What is lost when**", "\n#")
    rows = re.findall(r"^\|.*\|$", text, re.M)
    bullets = re.findall(r"^- .*(?:\n  .*)*", text, re.M)
    return [row for i, row in enumerate(rows) if "| --- |" not in " ".join(rows[i:i + 2])] + bullets


def every_promise_names_its_tests(readme):
    there = tests_that_are_there()
    lines = promises(readme)
    expect(len(there) > 1000, "only %d tests were found" % len(there))
    expect(len(lines) >= 25, "only %d promises were found" % len(lines))
    for line in lines:
        named = re.findall(r"`([a-z_]+/[a-z0-9_]+)`", line)
        expect(named, "no test is named beside: " + line[:80])
        for test in named:
            expect(test in there, "there is no test " + test)


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # servers are stopped on the way out
    tests = [conversations_work_as_printed, options_are_those_of_help, commands_are_those_of_help, files_are_there,
             every_promise_names_its_tests]
    failed = 0
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    for test in tests:
        try:
            test(readme)
        except (Failure, OSError, subprocess.SubprocessError, LookupError, ValueError) as failure:
            failed += 1
            print("README.md, %s: %s" % (test.__name__.replace("_", " "), failure))
    print("%d passed, %d failed" % (len(tests) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
