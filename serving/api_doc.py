"""`python -m serving.api_doc`: writes a real request and its real answer into docs/api.md.

The request is the champion's typical home; the answer is what the endpoint gives for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models.files import write_text
from serving.champion import Champion, NoChampion, key_path, load_champion, pointer_path, read_key, read_pointer
from serving.example import curl
from serving.valuing import value_one

DOCUMENT = Path("docs/api.md")
BEGIN, END = "<!-- example: python -m serving.api_doc -->", "<!-- end of example -->"


def with_example(text: str, champion: Champion) -> str:
    """The document with the part between the two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{DOCUMENT} must hold the lines {BEGIN} and {END}")
    body = {"home": dict(champion.valuer.typical)}
    answer = json.dumps(value_one(champion, json.dumps(body).encode()), indent=2, ensure_ascii=False)
    question = curl("http://127.0.0.1:3000", body)
    return f"{before}{BEGIN}\n```sh\n{question}\n```\n```json\n{answer}\n```\n{END}{after}"


def main() -> int:
    try:
        champion = load_champion(read_pointer(pointer_path()), read_key(key_path()))
    except NoChampion as error:
        print(error, file=sys.stderr)
        return 1
    write_text(DOCUMENT, with_example(DOCUMENT.read_text("utf-8"), champion))
    print(f"{DOCUMENT}: example of {champion.card['name']} version {champion.card['version']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
