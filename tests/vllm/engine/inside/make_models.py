"""Makes two tiny models, `tiny-mistral` and `tiny-mixtral`, without downloading anything.

Run by `install.py` with the engine's own Python: `python make_models.py FOLDER`. The weights are rigged:
attention and experts add nothing, and the output row of each token points at the embedding of the token
before it, so that the last token alone decides the next one:

    any chat            ->  ` 1 2 3 ... 1000`, then the end
    ` ... 41`           ->  ` 42 ...`, so a continued answer goes on where it was cut
    a chat with tools   ->  one call of `get_weather` with `{"city": "Paris"}`

Whatever loses, doubles or reorders a token is seen at once.
"""

import string
import sys
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
)

CONTEXT_TOKENS = 8192
HIDDEN = 128
NUMBERS = [f" {number}" for number in range(1, 1001)]
CONTROL = [
    "<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
]  # fmt: skip
TOOL_CALL = ['[{"name":"', "get_weather", '","arguments":', '{"city":"', "Paris", '"}}]']
CHAT_TEMPLATE = """
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role in ('system', 'developer', 'user') %}
        {{- '[INST]' + message.content + '[/INST]' }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS]' + message.content + '[/TOOL_RESULTS]' }}
    {%- elif message.tool_calls %}
        {{- '[TOOL_CALLS]' + (message.tool_calls | tojson) + eos_token }}
    {%- else %}
        {{- (message.content or '') + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if tools and messages[-1].role == 'user' %}
    {{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}
{%- endif %}
"""
LINKS_UP = ("o_proj.weight", "w2.weight", "experts.down_proj", "mlp.down_proj.weight")
"""Names of the weights through which a layer adds to the stream of hidden states."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that has every number, and every piece of the tool call, as one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(CONTROL) + 2 * len(NUMBERS),
        special_tokens=CONTROL,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["".join(NUMBERS)] * 8 + [string.printable], trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in TOOL_CALL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=CONTEXT_TOKENS,
        chat_template=CHAT_TEMPLATE.strip(),
    )


def links(tokenizer: PreTrainedTokenizerFast) -> list[tuple[int, int, float]]:
    """The rigged chain: a token, the one that follows it, and how strongly."""

    def token(text: str) -> int:
        (only,) = tokenizer(text, add_special_tokens=False)["input_ids"]
        return only

    counting = [token(number) for number in NUMBERS] + [token("</s>")]
    call = [token(piece) for piece in ("[TOOL_CALLS]", *TOOL_CALL, "</s>")]
    offer = token("[/AVAILABLE_TOOLS]")
    chain = [
        *pairwise(counting),
        *pairwise(call),
        (token("[/INST]"), counting[0]),
        (token("[/TOOL_RESULTS]"), counting[0]),
        (offer, call[0]),
    ]
    # Where a grammar forbids the marker (`tool_choice: required`) the call itself comes next best.
    return [*((before, after, 1.0) for before, after in chain), (offer, call[1], 0.5)]


@torch.no_grad()
def rig(model: torch.nn.Module, chain: list[tuple[int, int, float]]) -> None:
    """Silence every layer and make the output head follow `chain`."""
    for name, weight in model.named_parameters():
        if name.endswith(LINKS_UP):
            weight.zero_()
    embedding = model.get_input_embeddings().weight
    embedding.copy_(torch.nn.functional.normalize(torch.randn(embedding.shape), dim=-1))
    head = model.get_output_embeddings().weight
    head.copy_(0.02 * torch.randn(head.shape))
    for before, after, strength in chain:
        head[after] += strength * (30 / HIDDEN**0.5) * embedding[before]


def main(folder: Path) -> None:
    tokenizer = make_tokenizer()
    chain = links(tokenizer)
    shape = {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": HIDDEN // 4,
        "max_position_embeddings": CONTEXT_TOKENS,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    for name, build in {
        "tiny-mistral": lambda: MistralForCausalLM(MistralConfig(**shape)),
        "tiny-mixtral": lambda: MixtralForCausalLM(MixtralConfig(**shape, **experts)),
    }.items():
        torch.manual_seed(1234)
        model = build()
        rig(model, chain)
        # Sampling settings of the model's own would become vLLM's defaults: it gets none.
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
        )
        model.to(torch.bfloat16).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
