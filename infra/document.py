"""The part of a document that is made from the templates, between two comments that name it."""

import re


def replaced(text: str, name: str, made: str) -> str:
    """The text with what is between `<!-- name:begin -->` and `<!-- name:end -->` made anew.

    Raises ValueError where the text has no such part.
    """
    part = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    if part.search(text) is None:
        raise ValueError(f"no part between <!-- {name}:begin --> and <!-- {name}:end -->")
    return part.sub(lambda found: f"{found[1]}\n{made}\n\n{found[2]}", text)
