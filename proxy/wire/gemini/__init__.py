"""The `gemini` dialect: Google's Developer API, from chat completions and back."""

from proxy.wire.gemini.dialect import Gemini

__all__ = ("Gemini",)
