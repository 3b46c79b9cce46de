"""What the environment may tell the server. A key that is misspelt would otherwise be a setting that nobody obeys."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

#: By key: what it names.
SETTINGS: Mapping[str, str] = {
    "ASSAY_CHAMPION": "the pointer to the promoted model",
    "ASSAY_KEY": "the public key of whoever promotes models",
    "ASSAY_LAYOUTS": "the folder of what is laid out for serving",
    "ASSAY_EVENTS": "the folder of the events of answers",
    "ASSAY_API_KEYS": "the file of API keys",
}
#: Files that must be there when a key names them.
MUST_EXIST = ("ASSAY_KEY", "ASSAY_API_KEYS")


class SettingError(ValueError):
    """The setting, its value, what is allowed and what to do."""


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises SettingError for the first `ASSAY_` key that is unknown, or that names a file which is not there."""
    for name in sorted(environment):
        if name.startswith("ASSAY_") and name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(SETTINGS)}"
            raise SettingError(f"the setting {name} is unknown: {hint}")
    for name in MUST_EXIST:
        value = environment.get(name)
        if value is not None and not Path(value).is_file():
            raise SettingError(f"{name} is {value!r}, {SETTINGS[name]}: there is no such file")


def number(name: str, value: str, lowest: int, highest: int) -> int:
    """Raises SettingError unless the text is a whole number within the bounds."""
    try:
        told = int(value)
    except ValueError:
        told = lowest - 1
    if not lowest <= told <= highest:
        raise SettingError(f"{name} is {value!r}; allowed is a whole number from {lowest} to {highest}")
    return told
