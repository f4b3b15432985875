#!/usr/bin/python3
"""Runs a program with the system calls that its systemd unit leaves it: confined.py UNIT PROGRAM [ARGUMENT…]

What the unit says of families of sockets and of calls is refused here by the same filter of the kernel, and with the same errors, as systemd would.
"""
import errno
import os
import pathlib
import re
import subprocess
import sys

import seccomp

FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
FAMILIES_MOST = 46
AS_STARTED = {"execve", "access", "openat", "read", "mmap"}  # what the exec itself needs, whatever the unit says


def setting(unit, name):
    """The values of all lines of that name."""
    return re.findall(rf"^{name}=(.*)$", unit, re.M)


def calls_of(group):
    """The names in one of systemd's groups, and in those that it is made of."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True).stdout
    words = [line.strip() for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(word) if word.startswith("@") else {word} for word in words))


def main(path, *command):
    unit = pathlib.Path(path).read_text(encoding="utf-8")
    allowed = set()
    for words in setting(unit, "SystemCallFilter"):
        groups = [calls_of(word) for word in words.lstrip("~").split()]
        allowed = allowed.difference(*groups) if words.startswith("~") else allowed.union(*groups)
    families = {FAMILIES[name] for name in setting(unit, "RestrictAddressFamilies")[0].split()}
    calls = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in allowed | AS_STARTED:
        try:
            calls.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # not one of this processor
    sockets = seccomp.SyscallFilter(seccomp.ALLOW)
    for family in set(range(FAMILIES_MOST)) - families:
        sockets.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, family))
    sockets.load()
    calls.load()
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
