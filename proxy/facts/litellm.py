"""What the keys of a LiteLLM file come to here: data, for `fallthrough import litellm`.

Keys that are carried over by more than a name have a function in `proxy/config/importing/`; this is the
rest: what becomes which member, and why others are left out. A key in neither is told as unknown.
"""

from collections.abc import Mapping

DEFAULTS = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "stop",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "verbosity",
        "parallel_tool_calls",
        "service_tier",
        "logprobs",
        "top_logprobs",
        "top_k",
    }
)
"""Members of `litellm_params` that go into the body where the caller is silent."""

MODEL_INFO: Mapping[str, str] = {
    "max_input_tokens": "context",
    "max_output_tokens": "output",
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_audio_input": "audio",
    "supports_pdf_input": "files",
    "supports_response_schema": "schemas",
    "supports_assistant_prefill": "prefill",
}
"""Keys of `model_info`, and those of `models`."""

PRICES: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
}
"""Dollars per token there, and per million here."""

WINDOWS: Mapping[str, str] = {
    "1m": "minute",
    "60s": "minute",
    "1h": "hour",
    "60m": "hour",
    "3600s": "hour",
    "1d": "day",
    "24h": "day",
    "86400s": "day",
    "daily": "day",
    "7d": "week",
    "1w": "week",
    "weekly": "week",
    "30d": "month",
    "1mo": "month",
    "monthly": "month",
}
"""Durations of budgets, and the calendar window that is nearest."""

NO_KEYS = "keys, teams and their budgets are made anew: `fallthrough keys create --tenant …`, and `limits`"
LEDGER = "the ledger is a new one; many replicas share it with settings.ledger: postgresql://…"
HEALTH = "nobody is asked for an answer to see whether it is well: calls tell, and probes when it was not"
REDIS = "replicas share one PostgreSQL ledger; there is no Redis"
CACHE = "answers are not cached"
CALLBACKS = "outcomes go to /metrics, the log and the ledger, not to callbacks"
POLICY = "a refusal by a content policy is the caller's answer and is not asked for elsewhere"
KINDS = "what is tried again, and where, follows from the kind of failure (docs/faults.md)"
CONTENT = "prompts and answers are never logged, so there is nothing to switch off"
HIDDEN = "a route is listed to whoever may ask for it: GET /v1/models names this one too"
SPREAD = "targets are tried in the order in which they are written, not spread over"

ONE_VENDOR = "members of one vendor: write those that every target takes under `defaults`"
USERS = "a budget without a window: write a limit with per: user, usd: and every:"

PARAMS: Mapping[str, str] = {
    "tags": "routes are not chosen by tags of a request",
    "mock_response": "a simulated upstream answers instead: `fallthrough simulate`",
    "mock_tool_calls": "a simulated upstream answers instead: `fallthrough simulate`",
    "api_version": "no dialect here addresses by version",
    "max_retries": "tries belong to a route: retry: {attempts: …}",
    "max_budget": "a budget of one deployment: write a limit with `upstream:` and `usd:`",
    "budget_duration": "a budget of one deployment: write a limit with `upstream:` and `usd:`",
    "use_in_pass_through": "there is no pass-through",
    "additional_drop_params": "write them under capabilities: {strip: […]} of the upstream",
    "allowed_openai_params": "write them under capabilities: {accept: […]} of the upstream",
    "extra_body": ONE_VENDOR,
    "merge_reasoning_content_in_choices": "write reasoning_field at the route",
    "thinking": "write reasoning_effort under `defaults` of the route",
    "cache_control_injection_points": "prompts are the caller's",
    "complexity_router_config": "routes are not chosen by what a prompt says",
    "litellm_credential_name": "credentials are references: write api_key at the upstream",
    "model_info": "it stands beside litellm_params",
    "cooldown_time": "a breaker belongs to an upstream: breaker: {open: …}",
    "allowed_fails": "a breaker belongs to an upstream: breaker: {failures: …}",
    "guardrails": "content is never judged here",
    "safety_settings": ONE_VENDOR,
    "keep_alive": ONE_VENDOR,
}
"""Why keys of `litellm_params` are left out."""

INFO = frozenset(
    {"id", "base_model", "mode", "db_model", "description", "created_by", "access_groups", "tier"}
)
"""Keys of `model_info` that say nothing a table could say, other than of its endpoint."""

ROUTER: Mapping[str, str] = {
    "routing_strategy": SPREAD,
    "routing_strategy_args": SPREAD,
    "redis_host": REDIS,
    "redis_port": REDIS,
    "redis_password": REDIS,
    "redis_url": REDIS,
    "redis_db": REDIS,
    "enable_pre_call_checks": "this is always so: what a model cannot take is passed over",
    "enable_tag_filtering": "routes are not chosen by tags of a request",
    "content_policy_fallbacks": POLICY,
    "retry_policy": KINDS,
    "model_group_retry_policy": KINDS,
    "allowed_fails_policy": "what opens a breaker follows from the kind of failure (docs/faults.md)",
    "retry_after": "upstreams say themselves how long to wait, and are heeded",
    "disable_cooldowns": "there always is a breaker",
    "cache_responses": CACHE,
    "caching_groups": CACHE,
    "cache_kwargs": CACHE,
    "client_ttl": "connections are kept as long as they are good",
    "max_fallbacks": "every target of a route is tried, within the caller's patience",
    "set_verbose": "logs are one line of JSON for each event",
    "debug_level": "logs are one line of JSON for each event",
    "optional_pre_call_checks": "what a model cannot take is passed over, always",
    "deployment_affinity_ttl_seconds": "calls are not bound to one upstream",
    "polling_interval": REDIS,
    "default_priority": "calls wait in the order in which they came",
    "model_group_affinity_config": "calls are not bound to one upstream",
    "alerting_config": "alerts go to log, metric, ledger and alerts.webhook",
    "default_max_parallel_requests": "write streams at each upstream",
}
GENERAL: Mapping[str, str] = {
    "master_key": NO_KEYS,
    "database_url": LEDGER,
    "database_connection_pool_limit": LEDGER,
    "database_connection_timeout": LEDGER,
    "allow_requests_on_db_unavailable": "no call runs without a reservation on disk",
    "store_model_in_db": "the table is the file, and in force within a second of an edit",
    "proxy_batch_write_at": "every call is on disk before its answer is shown",
    "disable_spend_logs": "every call is in the ledger; `privacy.retention` says for how long",
    "store_prompts_in_spend_logs": "prompts and answers are never stored",
    "background_health_checks": HEALTH,
    "health_check_interval": HEALTH,
    "health_check_details": HEALTH,
    "use_background_health_checks": HEALTH,
    "enable_jwt_auth": "callers have keys; tokens are not read",
    "litellm_jwtauth": "callers have keys; tokens are not read",
    "custom_auth": "callers have keys; no code of yours is run",
    "custom_key_generate": NO_KEYS,
    "user_header_name": "an end person is named by `safety_identifier` or `user` in the body",
    "user_header_mappings": "an end person is named by `safety_identifier` or `user` in the body",
    "pass_through_endpoints": "there is no pass-through",
    "forward_client_headers_to_llm_api": "headers of callers are never passed on",
    "alerting_threshold": "alerts are told of limits, not of slowness: that is in /metrics",
    "alert_types": "alerts are told of limits; all else is in /metrics and the log",
    "alert_to_webhook_url": "one address takes all alerts: alerts.webhook",
    "ui_access_mode": "there is no such interface",
    "ui_username": "there is no such interface",
    "ui_password": "there is no such interface",
    "key_management_system": "secrets are ${NAME} or ${file:/run/secrets/name}",
    "key_management_settings": "secrets are ${NAME} or ${file:/run/secrets/name}",
    "infer_model_from_keys": "models are written down, under routes",
    "completion_model": "a route names its targets",
    "coordination_v2": REDIS,
    "alerting_args": "alerts are told of limits alone: `alert` at each has the percentages",
    "allowed_ips": "there is no list of addresses: whoever stands in front has one",
    "enforce_user_param": "calls that name nobody share one counter under per: user",
    "litellm_key_header_name": "a key comes as `authorization: Bearer` or `api-key`",
    "max_request_size_mb": "a body has at most 32 MiB",
    "spend_report_frequency": "nothing is reported by itself: `fallthrough usage`, /metrics",
}
LITELLM: Mapping[str, str] = {
    "callbacks": CALLBACKS,
    "success_callback": CALLBACKS,
    "failure_callback": CALLBACKS,
    "service_callback": CALLBACKS,
    "audit_log_callbacks": CALLBACKS,
    "langfuse_default_tags": CALLBACKS,
    "cache": CACHE,
    "cache_params": CACHE,
    "content_policy_fallbacks": POLICY,
    "set_verbose": "logs are one line of JSON for each event",
    "json_logs": "logs are one line of JSON for each event",
    "turn_off_message_logging": CONTENT,
    "redact_messages_in_exceptions": CONTENT,
    "redact_user_api_key_info": CONTENT,
    "modify_params": "write drop_params at a route; content is never changed",
    "ssl_verify": "certificates are always checked",
    "ssl_certificate": "certificates are always checked, by the system's own authorities",
    "force_ipv4": "addresses are tried as they are found, whichever comes first",
    "telemetry": "nothing is sent anywhere",
    "add_function_to_prompt": "prompts are the caller's",
    "enable_json_schema_validation": "write check_answers: schema at the routes that are to be held to one",
    "disable_copilot_system_to_assistant": "prompts are the caller's",
    "default_internal_user_params": NO_KEYS,
    "upperbound_key_generate_params": NO_KEYS,
    "default_key_generate_params": NO_KEYS,
    "max_internal_user_budget": NO_KEYS,
    "internal_user_budget_duration": NO_KEYS,
    "max_end_user_budget": USERS,
    "max_user_budget": USERS,
    "max_fallbacks": "every target of a route is tried, within the caller's patience",
    "store_audit_logs": "who erased, pruned or reset stands in the ledger, chained like all of it",
    "public_routes": "without a key there are the probes, and nothing else",
    "priority_reservation": "calls wait in the order in which they came",
    "ui_theme_config": "there is no such interface",
    "guardrails": "content is never judged here",
    "model_alias_map": "write a route of that name",
}
SECTIONS: Mapping[str, str] = {
    "environment_variables": "set them in the environment of the proxy: a table holds no values of secrets",
    "guardrails": "content is never judged here",
    "mcp_servers": "tools are the caller's",
    "mcp_tools": "tools are the caller's",
    "vector_store_registry": "nothing is retrieved here",
    "search_tools": "tools are the caller's",
    "credential_list": "credentials are references: write api_key at each upstream",
    "files_settings": "files are not served",
    "finetune_settings": "fine-tuning is not served",
    "callback_settings": CALLBACKS,
    "include": "one file holds everything; import each of the others by itself",
    "prompts": "prompts are the caller's",
}
"""Why whole sections, and keys of the others, are left out."""

BRIDGE = "responses/"
"""Before a model's name: have it asked over another of its vendor's endpoints."""
BRIDGED = "it is asked over chat completions, not over Responses"

ENDPOINTS: Mapping[str, str] = {
    "embedding": "embeddings are not served",
    "completion": "only chat completions are relayed",
    "image_generation": "pictures are not made here",
    "audio_transcription": "sound is not transcribed here",
    "audio_speech": "speech is not made here",
    "moderation": "moderation is not served",
    "rerank": "reranking is not served",
    "realtime": "realtime sessions are not relayed",
    "responses": "only chat completions are relayed",
    "batch": "batches are not served",
    "video_generation": "films are not made here",
    "ocr": "scanning is not served",
    "search": "searching is not served",
}
"""Values of `model_info.mode` that no route has."""
