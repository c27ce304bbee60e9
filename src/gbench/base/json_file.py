"""Read a JSON file into its class."""

import errno
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gbench.base import strict_json
from gbench.base.files import read_file
from gbench.base.invalid import first_problem, remedy
from gbench.errors import InfrastructureError

MOST_MEMBERS = 100_000  # far more than any file of gbench, but for a manifest
Content = TypeVar("Content", bound=BaseModel)


def read_json(
    path: Path, kind: type[Content], noun: str, missing: str, again: str, most_members: int = MOST_MEMBERS
) -> Content:
    """The content of a file. noun: what it is, with its article. missing: the hint if it is not there.

    again: what makes a new one. most_members: how many keys it may have in all; each unknown one takes kilobytes.

    Raises InfrastructureError: it is missing, can't be read, or is invalid.
    """
    try:
        text = read_file(path)
        if text.count(":") > most_members:
            raise OSError(errno.EFBIG, f"more than {most_members:,} keys")
        content = kind.model_validate_json(text)
        strict_json.require_unique(text)
        return content
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InfrastructureError(f"{path.parent} has no {path.name}", missing) from error
    except strict_json.RepeatedName as error:
        raise InfrastructureError(f"{path}: {error}", f"leave one of the two out, or {again}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InfrastructureError(f"{path} can't be read ({first_problem(error)})", remedy(error, again)) from error
    except ValidationError as error:
        why = f"{path} is not {noun} that this gbench reads ({first_problem(error)})"
        raise InfrastructureError(why, remedy(error, again)) from error
