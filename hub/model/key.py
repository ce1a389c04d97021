"""The provider's API key: from where the configuration says, and from nowhere else."""

from __future__ import annotations

import os

from hub.config import ModelConfig
from hub.errors import SpokegateError


class ModelKeyMissing(SpokegateError):
    """The configured API key of the model cannot be had; the text says where it should be, and the mend."""


def read_key(config: ModelConfig) -> str:
    """Return the key; empty where the configuration names none.

    Raises:
        ModelKeyMissing: It names one that is not there.
    """
    if config.key_env is not None:
        key = os.environ.get(config.key_env, "").strip()
        if not key:
            raise ModelKeyMissing(f"model.key_env: the environment variable {config.key_env} is not set: set it")
        return key
    if config.key_file is None:
        return ""
    try:
        key = config.key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ModelKeyMissing(f"model.key_file: {config.key_file} cannot be read: {error}") from None
    if not key:
        raise ModelKeyMissing(f"model.key_file: {config.key_file} is empty: write the API key into it")
    return key
