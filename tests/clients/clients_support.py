"""What the tests of clients share: a live server with the switches that README.md names for a client, and expectations.
Nothing here depends on how long anything takes; PATIENCE_S only ends a test that hangs."""
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER = os.path.abspath(os.environ.get("HAUSKV_SERVER", os.path.join(ROOT, "build", "hauskv-server")))
PATIENCE_S = 30

# More than the 20 ms that --framing auto takes for silence. Where a test pauses, what it expects holds for any pause.
PAUSE_S = 0.03

OK = '{"status": "Ok"}'
PONG = '{"status": "Ok", "result": "PONG"}'
NOT_FOUND = '{"status": "Error", "mesg": "Key not found", "code": "not_found"}'


def value(text):
    return '{"status": "Ok", "result": %s}' % json.dumps(text)


class Failure(Exception):
    pass


def expect(condition, complaint):
    if not condition:
        raise Failure(complaint)


def expect_equal(found, wanted, what):
    expect(found == wanted, "%s: %r, not %r" % (what, found, wanted))


def expect_code(reply, code):
    expect('"code": "%s"}' % code in reply, "%s, not %s" % (reply, code))


def readme_switches(server):
    """The switches, without the port, that README.md names for the clients of that earlier server: "000" to "004"."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
        row = re.search(r"^\| %s[^|]*\| `([^`|]*)` \|" % server, readme.read(), re.M)
    expect(row, "README.md has no switches for %s" % server)
    switches = shlex.split(row[1])
    expect(switches[0] == "--port" and switches[1].isdigit(), "README.md names no port for %s" % server)
    return switches[2:]


class Server:
    """with Server(switches) as server: it serves at server.port and at the Unix socket server.path."""

    count = 0

    def __init__(self, switches):
        Server.count += 1
        self.name = "clients-%d-%d" % (os.getpid(), Server.count)
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "socket")
        self.switches = switches
        self.process = None
        self.port = None

    def __enter__(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HAUSKV_")}
        command = [SERVER, "--name", self.name, "--port", "0", "--bind", "127.0.0.1", "--unix", self.path,
                   "--memory", "16m", "--discard"] + self.switches
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if line.startswith("ready: 127.0.0.1:"):
                self.port = int(line.rsplit(":", 1)[1])
            if line.startswith("ready: /"):
                return self
        raise Failure("the server does not serve: %s" % "".join(said))

    def __exit__(self, *failure):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.close()
        status = self.process.wait(PATIENCE_S)
        self.folder.cleanup()
        if failure[0] is None:
            expect_equal(status, 0, "the server's exit status")

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def connect_unix(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE_S)
        connection.connect(self.path)
        return connection

    def ask(self, line):
        """The reply to one line, on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(line.encode() + b"\n")
            return read_replies(connection, 1)[0]


def wait_until_taken(connection):
    """Until the server has read every byte that was sent: so the next ones are another read. Only for Unix sockets."""
    give_up = time.monotonic() + PATIENCE_S
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0] > 0:
        expect(time.monotonic() < give_up, "the server does not read")
        time.sleep(0.0005)


def send_alone(connection, data):
    """Sends bytes that one read of the server takes, and no other bytes with them."""
    connection.sendall(data)
    wait_until_taken(connection)


def read_replies(connection, count):
    """So many lines, without their ends; nothing must have come behind them."""
    received = b""
    while received.count(b"\n") < count:
        piece = connection.recv(65536)
        expect(piece, "the connection ended after %r" % received)
        received += piece
    expect(received.endswith(b"\n") and received.count(b"\n") == count, "%r, not %d replies" % (received, count))
    return received.decode().splitlines()


def read_to_the_end(connection):
    """All lines until the server closes the connection."""
    received = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            return received.decode().splitlines()
        received += piece


def run(program, tests):
    """Runs the tests, complains, prints the total; the exit status."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # servers are stopped on the way out
    failed = 0
    for test in tests:
        try:
            test()
        except (Failure, OSError, subprocess.SubprocessError, LookupError, ValueError) as failure:
            failed += 1
            print("%s, %s: %s" % (program, test.__name__.replace("_", " "), failure))
    print("%d passed, %d failed" % (len(tests) - failed, failed))
    return 1 if failed else 0
