"""A JSON schema made ready, by the one package that validates.

`schema.py` finds it by name when a call first asks for answers to be validated: a proxy of whom nobody does
carries no such package. It is handed only schemas that `schema.py` has surveyed.
"""

from collections.abc import Callable
from typing import Any

from jsonschema_rs import Draft202012Validator, ReferencingError, RegexOptions, ValidationError


def validator_of(root: dict[str, Any], pattern_bytes: int) -> Callable[[Any], bool]:
    """What says whether a value keeps to a schema. Raises `ValueError` if it is none, or cannot be used.

    Nothing is fetched, and a pattern that takes more memory than `pattern_bytes` is not made ready.
    """
    try:
        validator = Draft202012Validator(
            root,
            offline=True,
            validate_formats=False,
            pattern_options=RegexOptions(size_limit=pattern_bytes),
        )
    except (ValidationError, ReferencingError) as error:
        raise ValueError("not a schema that can be used") from error
    return validator.is_valid
