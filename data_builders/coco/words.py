"""Small English for category names: articles and plurals."""

import re

# COCO's names that take no article and no number.
_UNCOUNTED = frozenset({"scissors", "skis", "broccoli"})
_IRREGULAR = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives"}
# What people write for COCO's names, besides the names and their last words.
_OTHER_WORDS = {
    "person": "man|men|woman|women|boy|girl|child|children|kid|baby|guy|lady|player|rider|skier|surfer|skateboarder"
    "|crowd|he|she",
    "airplane": "plane|jet|aircraft|airliner",
    "bicycle": "bike|cyclist",
    "motorcycle": "motorbike|moped|scooter|bike",
    "car": "sedan|taxi|cab|suv",
    "boat": "ship|canoe|kayak|sailboat|ferry",
    "cow": "cattle|bull|calf",
    "sheep": "lamb",
    "dog": "puppy|puppies",
    "cat": "kitten|kitty",
    "horse": "pony|ponies|foal",
    "bird": "parrot|duck|goose|seagull|pigeon|owl|eagle|chicken|swan|peacock",
    "bear": "cub",
    "couch": "sofa|loveseat",
    "tv": "television|monitor|screen",
    "cell phone": "cellphone|smartphone|mobile|iphone",
    "laptop": "computer|macbook",
    "donut": "doughnut",
    "handbag": "purse|bag",
    "backpack": "rucksack|bag",
    "suitcase": "luggage|bag",
    "refrigerator": "fridge",
    "toilet": "commode",
    "sports ball": "football|basketball|baseball|soccer",
    "frisbee": "disc|disk",
    "bed": "mattress",
    "chair": "armchair|seat",
}
# The last word of these says too little alone.
_WHOLE_ONLY = frozenset({"hot dog", "stop sign"})
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_AN = re.compile(r"[aeio]|u(?!ni)", re.IGNORECASE)


def with_article(name: str) -> str:
    """`an apple`, `a zebra`, `scissors`."""
    if name in _UNCOUNTED:
        return name
    return f"{'an' if _AN.match(name) else 'a'} {name}"


def counted(name: str, count: int) -> str:
    """`a dog`, `two dogs`, `several people` (beyond five)."""
    if count == 1 or name in _UNCOUNTED:
        return with_article(name)
    return f"{_NUMBERS.get(count, 'several')} {plural(name)}"


def names(text: str, name: str) -> bool:
    """Whether a text names an object of a category: by its name, its last word, or what people call it, in any number.

    >>> names("Two puppies on a sofa", "dog"), names("A hot dog", "dog"), names("A room", "dog")
    (True, False, False)
    """
    words = [name, plural(name), *_OTHER_WORDS.get(name, "").split("|")]
    if name not in _WHOLE_ONLY:
        words += [name.split()[-1], plural(name.split()[-1])]
    either = "|".join(rf"{re.escape(word)}(?:s|es)?" for word in words if word)
    spoken = text if name in _WHOLE_ONLY else re.sub("|".join(_WHOLE_ONLY), " ", text, flags=re.IGNORECASE)
    return re.search(rf"\b(?:{either})\b", spoken, re.IGNORECASE) is not None


def plural(name: str) -> str:
    """`dogs`, `wine glasses`, `people`."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    return name + ("es" if re.search(r"(s|x|ch|sh)$", name) else "s")
