#!/usr/bin/env python3
"""People at a keyboard, and networks that cut what they send: characters alone, slow typists, packets and input that
end anywhere; with --framing line and auto. What is expected holds however long anything takes: where silence makes a
difference, the client waits for the reply. The last line is `N passed, N failed`."""
import socket
import sys
import time

from clients_support import (NOT_FOUND, OK, PAUSE_S, PONG, Server, expect, expect_code, expect_equal, read_replies,
                             read_to_the_end, run, send_alone, value)

FRAMINGS = ("line", "auto")

# No part of a line is a command, so these are the same wherever and for how long they are interrupted.
FIRM_SCRIPT = [
    ('PING', PONG),
    ('PUT {"key": "a", "value": "1"}', OK),
    ('GET {"key": "a"}', value("1")),
    ('START', OK),
    ('PUT {"key": "a", "value": "\u8bf4"}', OK),
    ('nonsense', '{"status": "Error", "mesg": "Unknown command nonsense, HELP lists the commands", '
                 '"code": "unknown_command"}'),
    ('ROLLBACK', OK),
    ('GET {"key": "a"}', value("1")),
]

# Parts of these are commands: PUT a 1, GET a.
SOFT_SCRIPT = [("PUT a 123", OK), ("GET a", value("123")), ("DEL ab", OK), ("COUNT a", '{"status": "Ok", "result": 1}')]


def serve(framing):
    return Server(["--framing", framing])


def bytes_of(script, line_end="\n"):
    return "".join(line + line_end for line, _ in script).encode()


def replies_of(script):
    return [reply for _, reply in script]


def telnet_in_character_mode():
    """Every character is a packet; Enter is CR and LF."""
    for framing in FRAMINGS:
        with serve(framing) as server, server.connect_unix() as client:
            for line, reply in SOFT_SCRIPT + FIRM_SCRIPT:
                for byte in (line + "\r\n").encode():
                    send_alone(client, bytes([byte]))
                expect_equal(read_replies(client, 1)[0], reply, "%s: %s" % (framing, line))


def telnet_over_tcp_in_character_mode():
    """The first line is whole, since nobody knows how TCP packs the others."""
    for framing in FRAMINGS:
        with serve(framing) as server, server.connect() as client:
            client.sendall(b"PING\r\n")
            expect_equal(read_replies(client, 1)[0], PONG, "%s: PING" % framing)
            for line, reply in SOFT_SCRIPT:
                for byte in (line + "\r\n").encode():
                    client.sendall(bytes([byte]))
                expect_equal(read_replies(client, 1)[0], reply, "%s: %s" % (framing, line))


def slow_typists():
    """A pause behind every character of the first lines, long enough to be silence."""
    for framing in FRAMINGS:
        with serve(framing) as server, server.connect_unix() as client:
            for line, reply in SOFT_SCRIPT:
                for byte in (line + "\r\n").encode():
                    send_alone(client, bytes([byte]))
                    time.sleep(PAUSE_S)
                expect_equal(read_replies(client, 1)[0], reply, "%s: %s" % (framing, line))


def typists_who_think_inside_a_line():
    """After a whole line, lines in two packets with a pause between them: the first packet has decided."""
    for framing in FRAMINGS:
        with serve(framing) as server, server.connect_unix() as client:
            send_alone(client, b"PING\n")
            for line, reply in SOFT_SCRIPT:
                send_alone(client, line[:-2].encode())
                time.sleep(PAUSE_S)
                client.sendall(line[-2:].encode() + b"\n")
                expected = [PONG] if line == SOFT_SCRIPT[0][0] else []
                expect_equal(read_replies(client, len(expected) + 1), expected + [reply], "%s: %s" % (framing, line))


def packets_split_at_every_byte():
    """The whole script in two packets, at once and with a pause between them."""
    script = bytes_of(FIRM_SCRIPT)
    for framing in FRAMINGS:
        with serve(framing) as server:
            for pause_s in (0, PAUSE_S):
                for place in range(1, len(script)):
                    with server.connect_unix() as client:
                        send_alone(client, script[:place])
                        time.sleep(pause_s)
                        client.sendall(script[place:])
                        client.shutdown(socket.SHUT_WR)
                        expect_equal(read_to_the_end(client), replies_of(FIRM_SCRIPT),
                                     "%s, %r|%r" % (framing, script[:place][-10:], script[place:][:10]))


def packets_split_at_every_byte_by_line():
    """The same for a script whose parts are commands: with --framing line that matters nowhere."""
    script = bytes_of(SOFT_SCRIPT, "\r\n")
    with serve("line") as server:
        for place in range(1, len(script)):
            with server.connect_unix() as client:
                send_alone(client, script[:place])
                client.sendall(script[place:])
                expect_equal(read_replies(client, len(SOFT_SCRIPT)), replies_of(SOFT_SCRIPT), "split at %d" % place)


def input_that_ends_at_every_byte():
    """Line: what has no LF is dropped. Auto: it runs if it is a whole command, which of these lines no part is."""
    script = bytes_of(FIRM_SCRIPT)
    whole_lines = [line.encode() for line, _ in FIRM_SCRIPT if line != "nonsense"]
    for framing in FRAMINGS:
        with serve(framing) as server:
            for place in range(len(script) + 1):
                *lines, tail = script[:place].split(b"\n")
                count = len(lines) + (framing == "auto" and tail in whole_lines)
                with server.connect_unix() as client:
                    client.sendall(script[:place])
                    client.shutdown(socket.SHUT_WR)
                    expect_equal(read_to_the_end(client), replies_of(FIRM_SCRIPT)[:count],
                                 "%s, %r" % (framing, script[:place][-20:]))


def input_that_ends_inside_a_value():
    """What nobody can tell from a whole value: README.md says so."""
    line = b"PUT n 123"
    for framing in FRAMINGS:
        with serve(framing) as server:
            for place in range(1, len(line) + 1):
                with server.connect() as client:
                    client.sendall(line[:place])
                    client.shutdown(socket.SHUT_WR)
                    is_command = framing == "auto" and place > len("PUT n ")
                    expect_equal(read_to_the_end(client), [OK] * is_command, "%s, %r" % (framing, line[:place]))
                stored = value(line[6:place].decode()) if is_command else NOT_FOUND
                expect_equal(server.ask("GET n"), stored, "%s, %r" % (framing, line[:place]))
                expect_equal(server.ask("DEL n"), OK, "DEL")


def input_that_ends_inside_a_transaction():
    for framing in FRAMINGS:
        with serve(framing) as server:
            with server.connect() as client:
                client.sendall(b"START\nPUT a 1\nCOMMI")
                client.shutdown(socket.SHUT_WR)
                expect_equal(read_to_the_end(client), [OK, OK], framing)
            expect_equal(server.ask("GET a"), NOT_FOUND, "%s: a part of COMMIT" % framing)
            with server.connect() as client:
                client.sendall(b"START\nPUT a 1\nCOMMIT")
                client.shutdown(socket.SHUT_WR)
                expect_equal(read_to_the_end(client), [OK, OK, OK] if framing == "auto" else [OK, OK], framing)
            expect_equal(server.ask("GET a"), value("1") if framing == "auto" else NOT_FOUND, "%s: COMMIT" % framing)


def a_value_that_is_cut_at_a_packets_edge():
    with serve("auto") as server, server.connect_unix() as client:
        client.sendall(b"PUT n 12")
        expect_equal(read_replies(client, 1)[0], OK, "the first half")  # so there was silence
        client.sendall(b"3\n")
        expect_code(read_replies(client, 1)[0], "unknown_command")
        expect_equal(server.ask("GET n"), value("12"), "GET n")
    with serve("line") as server, server.connect_unix() as client:
        send_alone(client, b"PUT n 12")
        time.sleep(PAUSE_S)
        client.sendall(b"3\n")
        expect_equal(read_replies(client, 1)[0], OK, "PUT n")
        expect_equal(server.ask("GET n"), value("123"), "GET n")


def scripts_without_their_last_line_end():
    """By line the client waits in vain, and the next line runs into it; in bursts it is answered."""
    with serve("auto") as server, server.connect() as client:
        for _ in range(3):
            client.sendall(bytes_of(SOFT_SCRIPT)[:-1])
            expect_equal(read_replies(client, len(SOFT_SCRIPT)), replies_of(SOFT_SCRIPT), "auto")
        client.sendall(b"PUT a")
        expect_code(read_replies(client, 1)[0], "syntax")
        client.sendall(b"nonsense")
        expect_code(read_replies(client, 1)[0], "syntax")
    with serve("line") as server, server.connect() as client:
        client.sendall(bytes_of(SOFT_SCRIPT)[:-1])
        expect_equal(read_replies(client, len(SOFT_SCRIPT) - 1), replies_of(SOFT_SCRIPT)[:-1], "line")
        client.sendall(b"\n")
        expect_equal(read_replies(client, 1), replies_of(SOFT_SCRIPT)[-1:], "line")


def long_bursts_are_whole():
    """In burst mode only: a first one of so many bytes is taken for lines. A Unix socket hands 32 KiB over as one."""
    with serve("auto") as server, server.connect_unix() as client:
        client.sendall(b"PING")
        expect_equal(read_replies(client, 1)[0], PONG, "PING")
        for size in (1401, 10000, 16384, 16385, 32000):
            command = b"PUT a " + b"v" * (size - len("PUT a "))
            client.sendall(command)
            expect_equal(read_replies(client, 1)[0], OK, "%d bytes" % size)
            expect(len(server.ask("GET a")) == size - len("PUT a ") + len(value("")), "%d bytes are not whole" % size)


def main():
    return run("typing", [
        telnet_in_character_mode,
        telnet_over_tcp_in_character_mode,
        slow_typists,
        typists_who_think_inside_a_line,
        packets_split_at_every_byte,
        packets_split_at_every_byte_by_line,
        input_that_ends_at_every_byte,
        input_that_ends_inside_a_value,
        input_that_ends_inside_a_transaction,
        a_value_that_is_cut_at_a_packets_edge,
        scripts_without_their_last_line_end,
        long_bursts_are_whole,
    ])


if __name__ == "__main__":
    sys.exit(main())
