"""A key that only this user can read: what is hashed with it comes from this user's gbench, not from a stranger."""

import hmac
import os
from collections.abc import Mapping
from contextlib import suppress

from gbench.base.files import open_file
from gbench.base.paths import user_cache_dir

KEY_BYTES = 32


def keyed_hash(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """HMAC-SHA-256 of a text, in hex, with the key, which is made if there is none.

    Raises OSError: the key can't be read or written; GbenchError: this user has no folder for it.
    """
    path = user_cache_dir(environ) / "gbench" / "key"
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(KEY_BYTES))
    with open_file(path) as file:
        key = file.read()
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} is no key")
    return hmac.new(key, text.encode(), "sha256").hexdigest()
