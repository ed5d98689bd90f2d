#!/usr/bin/env python3
"""The real telnet in a terminal: Ctrl-C and telnet's other commands freeze nothing and touch no transaction. The last line
is `N passed, N failed`."""
import json
import os
import pty
import select
import signal
import socket
import sys
import time

from clients_support import NOT_FOUND, OK, PATIENCE_S, PONG, Failure, Server, expect, expect_equal, read_replies, run, value

CTRL_C = "\x03"
ESCAPE = "\x1d"


class Telnet:
    """with Telnet(server) as telnet: a person types, and sees what the terminal shows."""

    def __init__(self, server):
        self.shown = b""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="dumb", HOME="/nonexistent")  # nobody's .telnetrc
            os.execvp("telnet", ["telnet", "127.0.0.1", str(server.port)])

    def __enter__(self):
        self.see("Escape character")
        return self

    def __exit__(self, *failure):
        os.close(self.terminal)
        try:
            os.kill(self.process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.process, 0)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def see(self, text):
        """Waits until this is shown, behind what was seen before."""
        give_up = time.monotonic() + PATIENCE_S
        while text.encode() not in self.shown:
            ready = select.select([self.terminal], [], [], max(0, give_up - time.monotonic()))[0]
            try:
                piece = os.read(self.terminal, 65536) if ready else b""
            except OSError:  # telnet has ended
                piece = b""
            if not piece:
                raise Failure("the terminal does not show %s, but %r" % (text, self.shown))
            self.shown += piece
        self.shown = self.shown.split(text.encode(), 1)[1]

    def say(self, line, reply):
        self.type(line + "\n")
        self.see(reply)

    def send(self, command):
        """telnet's own command."""
        self.type(ESCAPE)
        self.see("telnet> ")
        self.type("send " + command + "\n")


def ctrl_c_freezes_nothing_and_leaves_the_transaction_open():
    with Server([]) as server, Telnet(server) as telnet:
        telnet.say("START", OK)
        telnet.say("PUT a 1", OK)
        telnet.type(CTRL_C)
        telnet.say("GET a", value("1"))
        telnet.type(CTRL_C + CTRL_C)
        telnet.say("PUT b 2", OK)
        telnet.say("COMMIT", OK)
        telnet.say("GET b", value("2"))
        telnet.say("QUIT", "Connection closed")
        expect_equal(server.ask("GET a"), value("1"), "GET a")


def ctrl_c_drops_a_half_typed_line():
    with Server([]) as server, Telnet(server) as telnet:
        telnet.say("PING", PONG)
        telnet.type("PUT a 1" + CTRL_C)
        telnet.say("GET a", NOT_FOUND)


def ctrl_c_while_a_command_waits_for_a_key():
    with Server(["--lock-timeout", "0"]) as server, server.connect() as owner, Telnet(server) as telnet:
        owner.sendall(b"START LOCKING\nPUT a 1\n")
        expect_equal(read_replies(owner, 2), [OK, OK], "START, PUT")
        telnet.type("PUT a 2\n")
        give_up = time.monotonic() + PATIENCE_S
        while json.loads(server.ask("STATS"))["result"]["commands"]["PUT"] < 2:  # or Ctrl-C would drop it in the terminal
            expect(time.monotonic() < give_up, "the server does not hear the PUT")
        telnet.type(CTRL_C + "GET a\n")
        owner.sendall(b"COMMIT\n")
        telnet.see(value("2"))  # of what was sent before Ctrl-C telnet shows nothing


def every_command_of_telnet_is_taken():
    with Server([]) as server, Telnet(server) as telnet:
        telnet.say("START", OK)
        telnet.say("PUT a 1", OK)
        telnet.send("ayt")
        telnet.see(PONG)
        for command in ("abort", "ao", "brk", "ec", "el", "eof", "eor", "ga", "ip", "nop", "susp", "synch"):
            telnet.send(command)
            telnet.say("GET a", value("1"))
        telnet.say("COMMIT", OK)


def options_are_refused():
    with Server([]) as server, Telnet(server) as telnet:
        telnet.say("PING", PONG)
        for command in ("do 1", "do 3", "do 6", "will 0", "will 24", "dont 1", "wont 24"):
            telnet.send(command)
            telnet.say("PING", PONG)


def commands_cut_at_every_byte():
    """What telnet sends for Ctrl-C behind half a line, and then a line, in two packets; the answer comes at once."""
    sent = b"START\r\nPUT a 1\r\nPUT b\xff\xf4\xff\xfd\x06"
    with Server([]) as server:
        for place in range(1, len(sent)):
            with server.connect() as client:
                client.sendall(sent[:place])
                client.sendall(sent[place:])
                received = b""
                while not received.endswith(b"\xff\xfb\x06"):
                    piece = client.recv(65536)
                    expect(piece, "the connection ended after %r" % received)
                    received += piece
                expect_equal(received, (OK + "\n" + OK + "\n").encode() + b"\xff\xfb\x06", "cut at %d" % place)
                client.sendall(b"GET a\r\nROLLBACK\r\n")
                expect_equal(read_replies(client, 2), [value("1"), OK], "cut at %d" % place)


def urgent_bytes_are_in_their_place():
    """The synch of telnet: its last byte is urgent."""
    with Server([]) as server, server.connect() as client:
        client.sendall(b"PUT a 1\r\nnonsense\xff\xf4\xff")
        client.send(b"\xf2", socket.MSG_OOB)
        client.sendall(b"GET a\r\n")
        expect_equal(read_replies(client, 2), [OK, value("1")], "PUT, GET")


def main():
    return run("telnet", [
        ctrl_c_freezes_nothing_and_leaves_the_transaction_open,
        ctrl_c_drops_a_half_typed_line,
        ctrl_c_while_a_command_waits_for_a_key,
        every_command_of_telnet_is_taken,
        options_are_refused,
        commands_cut_at_every_byte,
        urgent_bytes_are_in_their_place,
    ])


if __name__ == "__main__":
    sys.exit(main())
