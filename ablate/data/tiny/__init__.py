"""The embedded world: instructions of six categories with a gold reward that can be computed."""

from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.sets import corpus, demonstrations, documents, prompts
from ablate.data.tiny.tasks import CATEGORIES
from ablate.data.tiny.tokenizer import build_tokenizer

__all__ = [
    "CATEGORIES",
    "WORLD",
    "build_tokenizer",
    "corpus",
    "demonstrations",
    "documents",
    "prompts",
]
