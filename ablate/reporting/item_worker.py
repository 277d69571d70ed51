"""A process of `ablate.reporting.item_pool`: paths in, arrays of item scores out."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

from ablate.errors import SurroundingsError
from ablate.reporting.item_files import ItemReader, Layout


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line of ``asked`` until it ends.

    A line is ``[path, subsets]`` as JSON. The answer is a pickle: the layout's number, the layout
    itself where that is new, and the scores; or a text that says what is wrong with the file.
    """
    reader, sent = ItemReader(), list[Layout]()
    for line in asked:
        path, subsets = json.loads(line)
        answer: Any
        try:
            layout, values = reader.read(Path(path), subsets)
        except SurroundingsError as error:
            answer = str(error)
        else:
            number = next((n for n, one in enumerate(sent) if one is layout), len(sent))
            is_new = number == len(sent)
            sent += [layout] if is_new else []
            answer = number, layout if is_new else None, values
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
