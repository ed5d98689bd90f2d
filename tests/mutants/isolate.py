"""isolate.py FOLDER COMMAND...: runs a program that may do anything, as the first process of namespaces of its own.

The caller has made them (trial.py). Memory files, temporary files and processes are private and end with this process,
the network is a loopback device, FOLDER, where the programs are, and everything else is read-only. Ends as the command
does.
"""
import fcntl
import os
import resource
import signal
import socket
import struct
import subprocess
import sys

PROCESSES_MAX = 3000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
GIBIBYTE = 1 << 30


def mount(*arguments, **keywords):
    subprocess.run(["mount", *arguments], check=True, **keywords)


def hide_the_rest(folder):
    kept = os.open(folder, os.O_PATH)  # it may lie in one of the folders that are hidden
    mount("--make-rprivate", "none", "/")
    mount("-o", "remount,bind,ro", "/")
    mount("-t", "tmpfs", "-o", "size=2g", "none", "/dev/shm")
    mount("-t", "tmpfs", "-o", "size=512m", "none", "/tmp")
    os.makedirs(folder, exist_ok=True)
    mount("-c", "--bind", f"/proc/self/fd/{kept}", folder, pass_fds=[kept])
    mount("-o", "remount,bind,ro", folder)
    mount("-t", "proc", "none", "/proc")
    os.close(kept)


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * GIBIBYTE, 2 * GIBIBYTE))
    resource.setrlimit(resource.RLIMIT_AS, (8 * GIBIBYTE, 8 * GIBIBYTE))


def end_if_too_many(*_):
    if sum(name.isdigit() for name in os.listdir("/proc")) > PROCESSES_MAX:
        print("isolate: too many processes", flush=True)
        os._exit(99)  # ends all others, being their init


def main():
    place = os.getcwd()
    hide_the_rest(os.path.abspath(sys.argv[1]))
    os.chdir(place)
    raise_loopback()
    signal.signal(signal.SIGALRM, end_if_too_many)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    program = subprocess.Popen(sys.argv[2:], preexec_fn=limit, stdin=subprocess.DEVNULL)
    while True:
        pid, status = os.wait()  # of orphans too
        if pid == program.pid:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


main()
