"""Which machine this is: its host name, and a key that outlasts reboots, a new driver and another host name."""

import hashlib
import hmac
import socket
from contextlib import suppress
from pathlib import Path

from gbench.base.files import open_file

# The second is that of systems without systemd.
ID_FILES = Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")
APPLICATION = b"gbench"
DIGITS = 16


def host_name() -> str:
    """The host name that the kernel has; no name service is asked."""
    return socket.gethostname()


def machine_key() -> str | None:
    """A key of this installation of the operating system, 16 hexadecimal digits; None if it has no machine id.

    The machine id itself must not be published (machine-id(5)), so the key is its HMAC-SHA256. Machines that were
    cloned from one image without a new machine id share the key.
    """
    for path in ID_FILES:
        with suppress(OSError, UnicodeDecodeError):
            with open_file(path) as file:
                machine_id = file.read(64).decode("ascii").strip()
            if len(machine_id) == 32:  # else `uninitialized`, or empty, as in images
                return hmac.new(machine_id.encode(), APPLICATION, hashlib.sha256).hexdigest()[:DIGITS]
    return None
