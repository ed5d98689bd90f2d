#!/usr/bin/env python3
"""The clients of the earlier servers, written as their documents show them, each against a server with the switches
that README.md names for it. The last line is `N passed, N failed`."""
import json
import socket
import sys

from clients_support import (NOT_FOUND, OK, PATIENCE_S, Server, expect, expect_code, expect_equal, read_replies,
                             read_to_the_end, readme_switches, run, value)

FIVE_COMMANDS = [
    b'START',
    b'GET most_popular_leader',
    b'PUT georgew {"first_name":"George", "last_name":"Washington", "role":"President"}',
    b'PUT winstonc {"first_name":"Winston", "last_name":"Churchill", "role":"Prime Minister"}',
    b'COMMIT',
]


class Client:
    """As in 000: a command is sent as it is, and what one recv brings is the reply."""

    def __init__(self, host="127.0.0.1", port=8000):
        self.address = (host, port)
        self.socket = None

    def connect(self):
        self.socket = socket.create_connection(self.address, timeout=PATIENCE_S)

    def send_command(self, command):
        self.socket.sendall(command.encode("utf-8"))
        return json.loads(self.socket.recv(1024).decode("utf-8"))

    def disconnect(self):
        self.socket.close()


def one_connection_per_command(port, command):
    client = Client(port=port)
    client.connect()
    response = client.send_command(command)
    client.disconnect()
    return response


def client_of_000_sends_ids_behind_its_commands():
    with Server(readme_switches("000")) as server:
        client = Client(port=server.port)
        client.connect()
        transaction_id = client.send_command("BEGIN")["transaction_id"]
        expect_equal(client.send_command("PUT key1 value1 %d" % transaction_id), {"status": "Ok"}, "PUT")
        expect_equal(client.send_command("GET key1")["code"], "not_found", "GET before COMMIT")
        expect_equal(client.send_command("GET key1 %d" % transaction_id)["result"], "value1", "GET inside")
        other_id = client.send_command("BEGIN")["transaction_id"]
        expect(other_id != transaction_id, "the same id twice")
        expect_equal(client.send_command("PUT key2 7 %d" % other_id), {"status": "Ok"}, "PUT in another")
        expect_equal(client.send_command("COMMIT %d" % transaction_id), {"status": "Ok"}, "COMMIT")
        expect_equal(client.send_command("ROLLBACK %d" % other_id), {"status": "Ok"}, "ROLLBACK")
        expect_equal(client.send_command("COMMIT %d" % transaction_id)["code"], "unknown_transaction", "COMMIT twice")
        client.disconnect()
        expect_equal(server.ask("GET key1"), value("value1"), "after COMMIT")
        expect_equal(server.ask("GET key2"), NOT_FOUND, "after ROLLBACK")


def client_of_000_that_goes_away_leaves_nothing_open():
    with Server(readme_switches("000")) as server:
        client = Client(port=server.port)
        client.connect()
        transaction_id = client.send_command("BEGIN")["transaction_id"]
        client.send_command("PUT key1 value1 %d" % transaction_id)
        client.disconnect()
        expect_equal(server.ask("GET key1"), NOT_FOUND, "after the end of the connection")


def clients_of_000_take_a_connection_for_each_command():
    with Server(readme_switches("000")) as server:
        for number in range(20):
            expect_equal(one_connection_per_command(server.port, "PUT counter %d" % number), {"status": "Ok"}, "PUT")
            expect_equal(one_connection_per_command(server.port, "GET counter"),
                         {"status": "Ok", "result": str(number)}, "GET")
        expect_equal(one_connection_per_command(server.port, "DEL counter"), {"status": "Ok"}, "DEL")
        expect_equal(one_connection_per_command(server.port, "GET counter")["code"], "not_found", "GET")


def client_of_001_is_served_as_in_its_example():
    """Line for line, with the comma that the example lacks."""
    with Server(readme_switches("001")) as server:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE_S)
        sock.connect(("localhost", server.port))
        sock.sendall(b'PUT key1 value1')
        expect_equal(sock.recv(1024).decode(),
                     '{"status": "Ok", "result": {"key": "key1", "value": "value1"}}\n', "PUT key1")
        sock.sendall(b'PUT key2 value2')
        expect_equal(sock.recv(1024).decode(),
                     '{"status": "Ok", "result": {"key": "key2", "value": "value2"}}\n', "PUT key2")
        sock.sendall(b'GET key1')
        expect_equal(sock.recv(1024).decode(),
                     '{"status": "Ok", "result": {"key": "key1", "value": "value1"}}\n', "GET key1")
        sock.sendall(b'\n'.join([b'START', b'DEL key1', b'COMMIT']))
        expect_equal(sock.recv(1024).decode(),
                     '{"status": "Ok", "result": "Transaction started"}\n'
                     '{"status": "Ok", "result": {"key": "key1"}}\n'
                     '{"status": "Ok", "result": "Transaction commited"}\n', "the list of commands")
        sock.sendall(b'GET key1')
        expect_equal(sock.recv(1024).decode(),
                     '{"status": "Error", "message": "Key not found", "code": "not_found"}\n', "GET key1, deleted")
        sock.close()


def client_of_001_hears_of_the_comma_that_its_example_lacks():
    with Server(readme_switches("001")) as server:
        client = server.connect()
        client.sendall(b'PUT key1 value1')
        client.recv(1024)
        client.sendall(b'\n'.join([b'START' b'DEL key1', b'COMMIT']))
        replies = read_replies(client, 2)
        expect_code(replies[0], "unknown_command")
        expect_code(replies[1], "no_transaction")
        client.sendall(b'ROLLBACK')
        expect_code(read_replies(client, 1)[0], "no_transaction")
        client.close()
        expect('"value1"' in server.ask("GET key1"), "key1 was deleted")


def client_of_001_is_answered_as_in_its_sequence():
    conversation = [
        ('START', '{"status": "Ok", "result": "Transaction started"}'),
        ('PUT {"key": "key1", "value": "value1"}  ', '{"status": "Ok", "result": {"key": "key1", "value": "value1"}}'),
        ('PUT {"key": "key2", "value": "value2"}  ', '{"status": "Ok", "result": {"key": "key2", "value": "value2"}}'),
        ('GET key1', '{"status": "Ok", "result": {"key": "key1", "value": "value1"}}'),
        ('COMMIT', '{"status": "Ok", "result": "Transaction commited"}'),
        ('START', '{"status": "Ok", "result": "Transaction started"}'),
        ('DEL key1', '{"status": "Ok", "result": {"key": "key1"}}'),
        ('ROLLBACK', '{"status": "Ok", "result": "Transaction rolled back"}'),
        ('GET key1', '{"status": "Ok", "result": {"key": "key1", "value": "value1"}}'),
    ]
    for line_end in ("", "\n"):
        with Server(readme_switches("001")) as server, server.connect() as client:
            for command, reply in conversation:
                client.sendall((command + line_end).encode())
                expect_equal(client.recv(1024).decode(), reply + "\n", command)


def client_of_002_types_into_telnet():
    conversation = [
        ("PUT most_popular_leader georgew", OK),
        ("PUT a 1", OK),
        ("GET a", value("1")),
        ("START", OK),
        ("GET most_popular_leader", value("georgew")),
        ('PUT georgew {"first_name": "George", "last_name": "Washington", "role": "President"}', OK),
        ("GET georgew", value('{"first_name": "George", "last_name": "Washington", "role": "President"}')),
        ("COMMIT", OK),
        ("PUT   a    3 * 3 = 9 ", OK),
        ("get a", value("3 * 3 = 9")),
        ("put s \u8bf4", OK),
        ("Get s", '{"status": "Ok", "result": "\\u8bf4"}'),
        ("GET nothing", '{"status": "Error", "mesg": "Key not found!", "code": "not_found"}'),
        ("DEL nothing", '{"status": "Ok", "message": "key is not in the kv store"}'),
        ("DEL a", '{"status": "Ok", "message": "key is not in the kv store"}'),
        ("GET a", '{"status": "Error", "mesg": "Key not found!", "code": "not_found"}'),
    ]
    with Server(readme_switches("002")) as server, server.connect() as client:
        for line, reply in conversation:
            client.sendall(line.encode() + b"\r\n")
            expect_equal(read_replies(client, 1)[0], reply, line)


def client_of_003_sends_five_commands_in_one_packet():
    with Server(readme_switches("003")) as server:
        server.ask("PUT most_popular_leader georgew")
        with server.connect() as client:
            for _ in range(3):  # the first burst waits for silence, the others do not
                client.sendall(b"\n".join(FIVE_COMMANDS))
                expect_equal(client.recv(1024).decode().splitlines(), [OK, value("georgew"), OK, OK, OK], "the replies")
        expect("Churchill" in server.ask("GET winstonc"), "nothing was committed")


def clients_of_003_read_what_was_committed_last():
    with Server(readme_switches("003")) as server, server.connect() as client, server.connect() as other:
        client.sendall(b"START\nGET a")
        expect_equal(client.recv(1024).decode().splitlines(), [OK, NOT_FOUND], "START and GET")
        other.sendall(b"START\nPUT a 1")
        expect_equal(other.recv(1024).decode().splitlines(), [OK, OK], "the other's PUT")
        client.sendall(b"GET a")
        expect_equal(client.recv(1024).decode().strip(), NOT_FOUND, "GET before the other's COMMIT")
        other.sendall(b"COMMIT")
        expect_equal(other.recv(1024).decode().strip(), OK, "the other's COMMIT")
        client.sendall(b"GET a")
        expect_equal(client.recv(1024).decode().strip(), value("1"), "GET after it, in the same transaction")
        client.sendall(b"PUT a 2\nCOMMIT")
        expect_equal(client.recv(1024).decode().splitlines(), [OK, OK], "PUT and COMMIT")


def clients_of_004_type_into_nc():
    longest = "v" * (1024 - len("PUT k "))
    with Server(readme_switches("004")) as server:
        clients = [server.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            client.sendall(b"PUT key%d a value with spaces\n" % number)
            expect_equal(read_replies(client, 1)[0], OK, "PUT")
            client.sendall(b"GET key%d\n" % number)
            expect_equal(read_replies(client, 1)[0], value("a value with spaces"), "GET")
        clients[0].sendall(b"START\nPUT k %s\nGET k\nCOMMIT\n" % longest.encode())
        expect_equal(read_replies(clients[0], 4), [OK, OK, value(longest), OK], "a command of 1,024 characters")
        for client, command in zip(clients, (b"EXIT\n", b"exit\n", b"Exit\n", b"eXiT\n", b"exiT\n")):
            client.sendall(command)
            expect_equal(read_to_the_end(client), [OK], "EXIT")
            client.close()


def main():
    return run("earlier servers", [
        client_of_000_sends_ids_behind_its_commands,
        client_of_000_that_goes_away_leaves_nothing_open,
        clients_of_000_take_a_connection_for_each_command,
        client_of_001_is_served_as_in_its_example,
        client_of_001_hears_of_the_comma_that_its_example_lacks,
        client_of_001_is_answered_as_in_its_sequence,
        client_of_002_types_into_telnet,
        client_of_003_sends_five_commands_in_one_packet,
        clients_of_003_read_what_was_committed_last,
        clients_of_004_type_into_nc,
    ])


if __name__ == "__main__":
    sys.exit(main())
