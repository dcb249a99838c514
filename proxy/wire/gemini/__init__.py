"""The `gemini` dialect: Google's Developer API, from chat completions and back."""
