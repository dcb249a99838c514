"""What pictures and documents are counted as, by model: beliefs about somebody else's arithmetic, as data.

`config/build.py` gives each target its row; `policy/estimate.py` holds that much. A row is an upper bound,
whatever the size of a picture or the detail asked for. Rows are tried from top to bottom; a model that
none of them describes is taken for the worst there is.

Pictures: tiles of 512 pixels are counted after scaling to at most 2048 by 768, so there are eight of them
(a base and a price each: 85 + 8 x 170; 2,833 + 8 x 5,667; 75 + 8 x 150; 70 + 8 x 140), or else at most
1,536 patches, times a factor of the model (1.62, 1.72 or 2.46). Claude counts pixels / 750 of at most
2,576 by 2,576 scaled down to 4,784 tokens; Gemini 258 a tile of at least 256 pixels on at most 3,072.

Documents: no rule that any vendor gives for a page bounds the text on it, and a few hundred compressed bytes
can hold hundreds of pages. What bounds a document is the model's context, so that is what is held.
"""

from fnmatch import fnmatchcase

from proxy.abilities import Media

ROWS: tuple[tuple[str, str, Media], ...] = (
    ("openai", "*gpt-4o-mini*", Media(48_169, 128_000)),
    ("openai", "*gpt-4o*", Media(1_445, 128_000)),
    ("openai", "*gpt-4-turbo*", Media(1_445, 128_000)),
    ("openai", "*gpt-4.1-mini*", Media(2_489, 1_047_576)),
    ("openai", "*gpt-4.1-nano*", Media(3_779, 1_047_576)),
    ("openai", "*gpt-4.1*", Media(1_445, 1_047_576)),
    ("openai", "*gpt-5-mini*", Media(2_489, 400_000)),
    ("openai", "*gpt-5-nano*", Media(3_779, 400_000)),
    ("openai", "*gpt-5", Media(1_190, 400_000)),
    ("openai", "*gpt-5-2025*", Media(1_190, 400_000)),
    ("openai", "o1*", Media(1_275, 200_000)),
    ("openai", "o3*", Media(1_275, 200_000)),
    ("openai", "o4-mini*", Media(2_642, 200_000)),
    ("anthropic", "*claude-3*", Media(5_000, 200_000)),
    ("anthropic", "*haiku-4*", Media(5_000, 200_000)),
    ("anthropic", "*opus-4-1*", Media(5_000, 200_000)),
    ("anthropic", "*opus-4-5*", Media(5_000, 200_000)),
    ("anthropic", "*", Media(5_000, 1_000_000)),
    ("gemini", "*", Media(10_000, 1_048_576)),
)


def media_of(dialect: str, model: str) -> Media:
    """The bounds for `model` behind an upstream of that dialect."""
    known = (row for spoken, glob, row in ROWS if spoken == dialect and fnmatchcase(model, glob))
    return next(known, Media())
