"""A made-up news corpus of four topics, with just enough structure to learn."""

from __future__ import annotations

import random

TOPICS = ("world", "sports", "business", "science")

_TEMPLATES = (
    "the {adjective} {actor} {action} the {thing} in {place} {time} .",
    "{time} the {actor} {action} a {adjective} {thing} near {place} .",
    "in {place} , a {adjective} {actor} {action} the {thing} {time} .",
    "{adjective} {thing} : the {actor} from {place} {action} it {time} .",
)
_SHARED = {
    "adjective": ("new", "large", "late", "small", "famous", "rare", "quiet", "bold"),
    "place": ("paris", "lima", "oslo", "cairo", "delhi", "quito", "seoul", "dakar"),
    "time": ("today", "on monday", "last week", "at noon", "this year", "again"),
}
_OF_TOPIC = {
    "world": {
        "actor": ("minister", "president", "envoy", "army", "parliament", "rebels", "voters"),
        "action": ("signed", "rejected", "debated", "defended", "broke", "announced"),
        "thing": ("treaty", "ceasefire", "border", "election", "embassy", "reform", "law"),
    },
    "sports": {
        "actor": ("striker", "coach", "team", "goalkeeper", "champion", "runner", "referee"),
        "action": ("won", "lost", "scored", "missed", "trained for", "celebrated"),
        "thing": ("match", "goal", "cup", "final", "race", "medal", "season"),
    },
    "business": {
        "actor": ("bank", "investor", "retailer", "company", "broker", "factory", "trader"),
        "action": ("sold", "bought", "priced", "financed", "merged", "shipped"),
        "thing": ("shares", "loan", "profit", "brand", "market", "contract", "stock"),
    },
    "science": {
        "actor": ("scientist", "telescope", "laboratory", "robot", "engineer", "probe", "student"),
        "action": ("discovered", "measured", "launched", "simulated", "observed", "decoded"),
        "thing": ("planet", "genome", "particle", "rocket", "theory", "chip", "fossil"),
    },
}


def sentence(topic: str, generator: random.Random) -> str:
    """One sentence about `topic`."""
    words = {**_SHARED, **_OF_TOPIC[topic]}
    choices = {slot: generator.choice(options) for slot, options in words.items()}
    return generator.choice(_TEMPLATES).format(**choices)


def labelled(count: int, seed: int) -> list[tuple[str, str]]:
    """`count` (sentence, topic) pairs with the topics in equal shares, shuffled."""
    generator = random.Random(seed)
    rows = [(sentence(topic, generator), topic) for topic in TOPICS * -(-count // len(TOPICS))]
    generator.shuffle(rows)
    return rows[:count]


def pretraining_text(count: int, seed: int) -> list[str]:
    """Lines that teach the prompt's form, but not the answer: the topic named is a random one.

    A model trained on them knows which words go together and that a topic follows, so that
    fine-tuning starts at chance and has something to learn.
    """
    generator = random.Random(seed)
    return [f"{text} topic : {generator.choice(TOPICS)}" for text, _ in labelled(count, seed + 1)]
