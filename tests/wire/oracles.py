"""Who judges what: an oracle for every recorded answer, and for every golden one.

A recording without an entry fails a test, and so does an entry without a recording: nothing that a
vendor has said is read by our own lights alone. Read by `test_oracles.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.call import Kind
from proxy.policy.classify import Class
from tests.wire.vendors import Read, anthropic, google, models_of_google, openai, tokens_of_anthropic


@dataclass(frozen=True, slots=True)
class Accumulated:
    """An answer: our translation must say what an official SDK makes of the original."""

    by: Callable[..., Read]
    quirks: tuple[str, ...] = ()
    """What keeps that SDK from reading the original; each is mended for it (`vendors.QUIRKS`)."""
    counted: bool = True
    """False: the upstream's count cannot be, and must not be believed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error: what it means, and what a caller whose fault it is hears of it."""

    status: int
    kind: Kind
    cls: Class
    code: str | None = None
    """What the caller's program looks for; told only for a caller's own fault."""
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """No chat at all: the vendor's types find so much in it, and it never passes for an answer."""

    by: Callable[[bytes], int]
    number: int


ANTHROPIC = Accumulated(anthropic)
GOOGLE = Accumulated(google)
OPENAI = Accumulated(openai)

RECORDINGS: Mapping[str, Accumulated | Refusal | Listed] = {
    "anthropic/cache_read_and_write_sonnet45.json": ANTHROPIC,
    "anthropic/citations_stream_haiku45.sse": ANTHROPIC,
    "anthropic/count_tokens_ok.json": Listed(tokens_of_anthropic, 1114),
    "anthropic/effort_no_thinking_stream_sonnet46.sse": ANTHROPIC,
    "anthropic/error_400_effort_unsupported.json": Refusal(
        400, Kind.UNABLE, Class.UNABLE, code="unsupported_parameter"
    ),
    "anthropic/error_404_count_tokens_model.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "anthropic/error_404_model.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "anthropic/error_404_on_stream_request.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "anthropic/extended_thinking_stream_haiku45.sse": ANTHROPIC,
    "anthropic/input_tokens_in_message_delta.sse": ANTHROPIC,
    "anthropic/json_output_format_stream.sse": ANTHROPIC,
    "anthropic/max_tokens_stream.sse": ANTHROPIC,
    "anthropic/mid_conversation_system_opus48.json": ANTHROPIC,
    "anthropic/opus5_reasoning_high.json": ANTHROPIC,
    "anthropic/opus5_thinking_effort.json": ANTHROPIC,
    "anthropic/redacted_thinking_sonnet45.json": ANTHROPIC,
    "anthropic/redacted_thinking_stream_sonnet45.sse": ANTHROPIC,
    "anthropic/refusal_midstream_fable5.sse": ANTHROPIC,
    "anthropic/structured_output_stream_opus46.sse": ANTHROPIC,
    "anthropic/tool_no_args_stream_haiku45.sse": ANTHROPIC,
    "anthropic/tool_stream_long_json_haiku45.sse": ANTHROPIC,
    "anthropic/tool_with_thinking_sonnet40.json": ANTHROPIC,
    "anthropic/tools_result_followup_stream_haiku45.sse": ANTHROPIC,
    "anthropic/tools_stream_sonnet35.sse": ANTHROPIC,
    "anthropic/web_search_server_tool_stream_opus41.sse": ANTHROPIC,
    "anthropic/web_search_stream_haiku45.sse": ANTHROPIC,
    "gemini/cached_content_25flash.json": GOOGLE,
    "gemini/code_execution_stream_3flash.sse": GOOGLE,
    "gemini/error_400_invalid_key.json": Refusal(400, Kind.BAD_KEY, Class.AUTH),
    "gemini/error_404_model.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "gemini/error_429_retryinfo.json": Refusal(429, Kind.RATE_LIMITED, Class.RATE_LIMIT, wait_s=48.0),
    "gemini/function_call_same_chunk_finish_stream.sse": GOOGLE,
    "gemini/function_call_stream_flash20.sse": GOOGLE,
    "gemini/json_array_stream_gemini3.json": GOOGLE,
    "gemini/json_array_stream_tools_25flash.json": GOOGLE,
    "gemini/logprobs_vertex.json": GOOGLE,
    "gemini/max_tokens_25flash.json": GOOGLE,
    "gemini/max_tokens_stream_25flash.sse": GOOGLE,
    "gemini/models_list.json": Listed(models_of_google, 50),
    "gemini/no_args_tool_call_stream.sse": Accumulated(google, ("arguments_in_pieces",)),
    "gemini/parallel_calls_25flash.json": GOOGLE,
    "gemini/prompt_blocked_vertex.json": GOOGLE,
    "gemini/safety_block_15flash.json": GOOGLE,
    "gemini/schema_plus_tools_stream_3flash.sse": GOOGLE,
    "gemini/text_stream_flash20.sse": GOOGLE,
    "gemini/token_accounting_stream_25flash.sse": GOOGLE,
    "gemini/tool_call_gemini3_stream.sse": GOOGLE,
    "gemini/usage_each_chunk_stream_25flash.sse": GOOGLE,
    "openai/error_400_image_base64.json": Refusal(
        400, Kind.BAD_REQUEST, Class.CALLER, code="invalid_image_format"
    ),
    "openai/error_400_image_url.json": Refusal(400, Kind.BAD_REQUEST, Class.CALLER, code="invalid_image_url"),
    "openai/error_400_role_o1mini.json": Refusal(400, Kind.UNABLE, Class.UNABLE, code="unsupported_value"),
    "openai/error_401.json": Refusal(401, Kind.BAD_KEY, Class.AUTH),
    "openai/error_404_model_2026.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "openai/legacy_function_call_gpt4.json": OPENAI,
    "openai/moderation_flagged.json": OPENAI,
    "openai/moderation_stream_gpt5.sse": Accumulated(openai, ("usage_overwritten",)),
    "openai/n2_stream_4omini.sse": OPENAI,
    "openai/no_usage_stream_gpt4.sse": OPENAI,
    "openai/obfuscation_usage_stream_4o.sse": OPENAI,
    "openai/prompt_cache_gpt56.json": OPENAI,
    "openai/refusal_4o.json": OPENAI,
    "openai/refusal_logprobs_stream_4o.sse": OPENAI,
    "openai/refusal_stream_4o.sse": OPENAI,
    "openai/tools_multi_stream_4omini.sse": OPENAI,
    "openai/tools_parallel_stream_4o.sse": OPENAI,
    "openai/tools_parallel_stream_current_4o.sse": OPENAI,
    "deepseek/after_tool_stream_cache_hit.sse": OPENAI,
    "deepseek/error_400_context.json": Refusal(
        400, Kind.TOO_LONG, Class.TOO_LONG, code="context_length_exceeded"
    ),
    "deepseek/json_mode.json": OPENAI,
    "deepseek/reasoning_stream.sse": OPENAI,
    "deepseek/reasoning_tools.json": OPENAI,
    "deepseek/thinking_disabled.json": OPENAI,
    "deepseek/thinking_high.json": OPENAI,
    "deepseek/tool_call_reasoner_stream.sse": OPENAI,
    "deepseek/tool_no_args_stream.sse": OPENAI,
    "deepseek/tools_stream_v4flash.sse": OPENAI,
    "mistral/cached_prompt.json": OPENAI,
    "mistral/error_401.json": Refusal(401, Kind.BAD_KEY, Class.AUTH),
    "mistral/incremental_tool_call_stream.sse": Accumulated(openai, ("role_never",)),
    "mistral/magistral_stream.sse": Accumulated(openai, ("content_in_lists",)),
    "mistral/magistral_thinking.json": Accumulated(openai, ("content_in_lists",)),
    "mistral/multi_tools_and_output.json": Accumulated(openai, ("count_of_cache_elsewhere",)),
    "mistral/text_stream_small.sse": OPENAI,
    "mistral/thinking_small.json": Accumulated(openai, ("content_in_lists",)),
    "mistral/tool_stream_small.sse": OPENAI,
    "ollama/error_404_native.json": Refusal(404, Kind.NO_MODEL, Class.MODEL),
    "ollama/json_schema_qwen3_local.json": Accumulated(openai, ("reasoning_renamed",)),
    "ollama/thinking_tools_stream_qwen3.sse": Accumulated(openai, ("reasoning_renamed", "role_again")),
    "ollama/tools_cloud_gptoss.json": Accumulated(openai, ("reasoning_renamed",)),
    "vllm/error_400_context_qwen3.json": Refusal(
        400, Kind.TOO_LONG, Class.TOO_LONG, code="context_length_exceeded"
    ),
    "vllm/text_opt125m.json": OPENAI,
    "vllm/tool_qwen3.json": OPENAI,
    "vllm/tool_stream2_qwen3.sse": OPENAI,
    "vllm/tool_stream_qwen3.sse": OPENAI,
    "compat/alibaba_tool_stream.sse": OPENAI,
    "compat/anthropic_compat_tool_index1.sse": Accumulated(openai, ("index_with_gaps",)),
    "compat/groq_tool_stream.sse": OPENAI,
    "compat/xai_tool_stream.sse": Accumulated(openai, ("reasoning_beside_output",)),
}

GOLDEN_RULES: Mapping[str, Accumulated] = {
    "anthropic": ANTHROPIC,
    "gemini": GOOGLE,
    "openai": OPENAI,
    "vllm": OPENAI,
}
"""By dialect, for every golden answer that is one: where `failure.json` stands, it is the oracle."""
GOLDEN: Mapping[str, Accumulated] = {
    "anthropic/an_answer_through_a_tool_is_the_answer": Accumulated(anthropic, ("answers_through_a_tool",)),
    "anthropic/whole_answer_through_a_tool_beside_tools_left_out": Accumulated(
        anthropic, ("answers_through_a_tool",)
    ),
    "anthropic/whole_answer_through_a_tool": Accumulated(anthropic, ("answers_through_a_tool",)),
    "anthropic/whole_absurd_count_is_estimated": Accumulated(anthropic, counted=False),
    "anthropic/whole_compaction_is_counted": Accumulated(anthropic, ("compaction_apart",)),
    "gemini/a_malformed_call_after_content": Accumulated(google, ("calls_that_failed",)),
    "gemini/a_signature_on_a_call_in_pieces": Accumulated(google, ("arguments_in_pieces",)),
    "gemini/an_answer_nobody_asked_for_is_passed_over": Accumulated(google, ("choices_nobody_asked_for",)),
    "gemini/sounds_are_counted_apart": Accumulated(google, ("details_that_are_none",)),
    "gemini/arguments_in_pieces": Accumulated(google, ("arguments_in_pieces",)),
    "gemini/calls_answer_with_ids_of_their_own": Accumulated(google, ("names_made_legal",)),
    "gemini/calls_count_from_nought": Accumulated(google, ("names_made_legal",)),
    "gemini/impossible_counts_are_not_believed": Accumulated(google, counted=False),
    "openai/a_call_without_arguments_gets_an_empty_object": Accumulated(openai, ("arguments_never",)),
    "openai/azure_begins_without_choices": Accumulated(openai, ("begins_without_choices",)),
    "openai/deepseek_old_functions_are_answered_in_kind": Accumulated(openai, ("count_of_cache_elsewhere",)),
    "openai/whole_deepseek_old_functions_are_answered_in_kind": Accumulated(
        openai, ("count_of_cache_elsewhere",)
    ),
    "openai/mistral_padding_does_not_pass": Accumulated(openai, ("count_of_cache_elsewhere",)),
    "openai/mistral_thinks_in_lists": Accumulated(openai, ("content_in_lists",)),
    "openai/whole_calls_without_arguments_get_an_empty_object": Accumulated(openai, ("arguments_never",)),
    "openai/whole_mistral_thinking": Accumulated(openai, ("content_in_lists",)),
    "openai/ollama_repeats_the_role": Accumulated(openai, ("reasoning_renamed", "role_again")),
    "openai/tool_index_from_nought": Accumulated(openai, ("index_with_gaps",)),
    "openai/tool_names_said_once": Accumulated(openai, ("names_again", "stop_though_called")),
    "openai/usage_on_the_finish_is_taken_off": Accumulated(openai, ("count_of_cache_elsewhere",)),
    "openai/usage_on_the_finish_moves_to_the_end": Accumulated(openai, ("count_of_cache_elsewhere",)),
    "openai/whole_absurd_count_is_estimated": Accumulated(openai, counted=False),
    "vllm/named_tool_ends_as_tool_calls": Accumulated(openai, ("stop_though_called",)),
    "vllm/whole_extras_and_named_tool": Accumulated(openai, ("stop_though_called",)),
    "vllm/calls_leave_their_reasoning": Accumulated(openai, ("reasoning_renamed",)),
    "vllm/reasoning_has_one_name": Accumulated(openai, ("reasoning_renamed",)),
    "vllm/reasoning_beside_a_null_of_its_other_name": Accumulated(openai, ("reasoning_renamed",)),
    "vllm/whole_reasoning_beside_a_null_of_its_other_name": Accumulated(openai, ("reasoning_renamed",)),
}
"""Golden answers that the SDK cannot read as they are."""
