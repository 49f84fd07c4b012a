"""Options of a training out of a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cenote.training.config import check_option, option_names

__all__ = ["read_options"]


def read_options(path: str | Path) -> dict[str, Any]:
    """The options in the TOML file ``path``, by their names; ``-`` may stand for ``_``.

    Raises:
        ValueError: there is no such file, it is not TOML, a key is no option, or a value is not
            of its type.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"config = {path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"config = {path}: not a TOML file that can be read ({error})") from None
    options: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in option_names():
            raise ValueError(
                f"config = {path}: {key}: no such option; there are {', '.join(option_names())}"
            )
        if name in options:
            raise ValueError(f"config = {path}: {key}: is there twice")
        try:
            check_option(name, value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"config = {path}: {error}") from None
        options[name] = value
    return options
