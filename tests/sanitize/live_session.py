#!/usr/bin/env python3
"""live_session.py SERVER LOG-FOLDER: a conversation with a server under Valgrind, all of its processes included. It touches
every command of include/protocol/command.def; Valgrind must have nothing to say of any process. The last line is
`N passed, N failed`."""
import glob
import os
import re
import signal
import socket
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER, LOGS = sys.argv[1], sys.argv[2]
PATIENCE_S = 120

# Numbers of START and BEGIN count up from 1.
CONVERSATION = """\
PING
HELP
STATS
PUT a 1
PUT {"key": "b\\u0000\\ud83d\\ude00", "value": "line\\nend"}
PUT large %s
GET a
GET large
GET {"key": "b\\u0000\\ud83d\\ude00"}
GET nothing
EXISTS a
COUNT
COUNT l
SCAN 0
SCAN 0 a 1
DEL a
START
GET a
PUT a 2
COUNT
COMMIT
START READ COMMITTED
GET a
PUT a 3
ROLLBACK
BEGIN SERIALIZABLE
BEGIN LOCKING
PUT c 1 1
GET c 1
GET d 2
PUT d 2 2
COMMIT 1
COMMIT 2
ROLLBACK 7
START
PUT a
GET a
COMMIT
PUT \xff x
PUT %s too long a key
%s
no such command
""" % ("x" * 50000, "k" * 1100, "y" * 70000)


def start():
    """The server and the port that it listens on."""
    valgrind = ["valgrind", "--trace-children=yes", "--error-exitcode=99", "--leak-check=full",
                "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "--log-file=" + LOGS + "/valgrind-%p.log"]
    options = ["--name", "valgrind-%d" % os.getpid(), "--port", "0", "--bind", "127.0.0.1", "--memory", "4m",
               "--min-spare", "2", "--max-spare", "4", "--max-command", "64k", "--discard"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HAUSKV_")}
    process = subprocess.Popen(valgrind + [SERVER] + options, stderr=subprocess.PIPE, text=True, env=environment)
    for line in process.stderr:
        ready = re.match(r"ready: .*:(\d+)$", line)
        if ready:
            return process, int(ready.group(1))
    raise SystemExit("the server was never ready")


def converse(port, said):
    """Everything that is answered, as lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b"")).splitlines()


def verbs():
    with open(os.path.join(ROOT, "include/protocol/command.def"), encoding="ascii") as file:
        return re.findall(r"^COMMAND\((\w+),", file.read(), re.M)


def main():
    said = CONVERSATION.encode("latin-1")
    last = [b"QUIT\n", b"EXIT\n"]
    checks = []
    process, port = start()
    for line in last:
        replies = converse(port, said + line)
        checks.append(("%d replies to %d lines" % (len(replies), said.count(b"\n") + 1),
                       len(replies) == said.count(b"\n") + 1))
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    checks.append(("the server ends with status %d" % process.wait(PATIENCE_S), process.returncode == 0))
    for verb in verbs():
        checks.append(("%s was said" % verb, any(line.startswith(verb.encode()) for line in said.splitlines() + last)))
    logs = sorted(glob.glob(LOGS + "/valgrind-*.log"))
    for log in logs:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        is_clean = "ERROR SUMMARY: 0 errors" in text
        checks.append(("%s: no errors" % log, is_clean))
        if not is_clean:
            print(text)
    checks.append(("%d processes" % len(logs), len(logs) >= 4))
    for what, is_well in checks:
        if not is_well:
            print("failed: " + what)
    failed = sum(not is_well for _, is_well in checks)
    print("figures: Valgrind: %d processes, %d lines" % (len(logs), len(last) * (said.count(b"\n") + 1)))
    print("%d passed, %d failed" % (len(checks) - failed, failed))
    return failed > 0


sys.exit(main())
