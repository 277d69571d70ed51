"""Phrases by which a reply speaks as a language model, or refuses in its set words.

Cleaning ShareGPT, WizardLM and UltraChat (arXiv:2310.16944, section 4) and the lists that
OpenAssistant and open-instruct ship look for sentences like these. Two departures: the phrases
are as short as they can be without hitting other text, since ``as an ai`` covers all that goes
on from there; and no phrase names a topic or a company alone, as the lists that grew out of
ShareGPT do (``racist``, ``ethics``, ``openai``), because those also drop replies about the topic.
A human's ``sorry, i can't`` is not in it: replies to harmful requests say so rightly.
"""

from __future__ import annotations

_SELF = (
    "an ai",
    "an artificial intelligence",
    "a language model",
    "a large language model",
    "an automated assistant",
    "a machine learning model",
)
_BEING = ("as", "i am", "i'm", "i am just", "i'm just", "i am only", "i'm only", "being")
_LACKED = (
    "personal opinions",
    "personal beliefs",
    "personal experiences",
    "personal feelings",
    "personal preferences",
    "emotions",
    "feelings",
    "opinions",
    "consciousness",
    "a physical body",
    "access to real-time",
    "access to the internet",
    "browsing capabilities",
    "the ability to browse",
)
_REQUESTS = (
    "fulfill that",
    "fulfill this",
    "fulfill your",
    "fulfil that",
    "fulfil this",
    "fulfil your",
    "assist with that",
    "assist with this request",
    "assist you with that",
    "comply with that request",
    "comply with this request",
)

REFUSALS: tuple[str, ...] = (
    *(f"{being} {name}" for being in _BEING for name in _SELF),
    *(f"i {lacking} {what}" for lacking in ("do not have", "don't have") for what in _LACKED),
    *(f"i {unable} {what}" for unable in ("cannot", "can't", "can not") for what in _REQUESTS),
    *(f"{unable} to {what}" for unable in ("i am unable", "i'm unable") for what in _REQUESTS),
    "my knowledge cutoff",
    "my last knowledge update",
    "my training data",
    "my programming",
    "i was programmed to",
    "i am programmed to",
    "i'm programmed to",
    "i'm not programmed to",
    "i am not programmed to",
    "i was trained by openai",
    "i was developed by openai",
    "trained by openai",
    "openai's use case policy",
    "openai's content policy",
)
"""In lower case and with plain apostrophes, as `filters.Refusals` compares them."""
