"""The `anthropic` dialect: Claude's Messages, to and from OpenAI's chat completions. Pure."""
