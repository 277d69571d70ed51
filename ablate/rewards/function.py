"""Rewards that are Python functions, ours and those of installed packages."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ablate.errors import StageError, nearest
from ablate.rewards.responses import Response
from ablate.spec.rewards import GROUP, reward_functions

Function = Callable[[Sequence[Response]], Sequence[float]]
"""What an entry point names: one finite number a response, higher is better."""
SHOWN = 80
"""Characters of a prompt or reply in a message."""


class FunctionReward:
    """Scores by a function, and says which reply it failed on."""

    def __init__(self, name: str, function: Function) -> None:
        """Wrap a function; ``name`` is what a study calls it."""
        self.name, self.function = name, function
        self.boundary = None
        self.calls = 0
        """Responses scored so far."""

    def score(self, responses: Sequence[Response]) -> Tensor:
        """Return the function's numbers, shape (B,), fp32.

        Raises StageError (``bad_data``) where the function raises, gives another number of scores,
        or one that is no finite number.
        """
        self.calls += len(responses)
        scores = self._checked(responses)
        return torch.tensor(scores, dtype=torch.float32)

    def normalized(self, raw: Tensor) -> Tensor:
        """Return the scores themselves: a function's scale is its author's."""
        return raw

    def fits(self, response: Response) -> bool:
        """Return True: a function reads text of any length."""
        return True

    def _checked(self, responses: Sequence[Response]) -> list[float]:
        try:
            returned = list(self.function(responses))
        except (Exception, SystemExit) as error:
            culprit = self._culprit(responses)
            found = f"raised {_printable(error)}"
            raise self._failed(found, culprit) from error
        if len(returned) != len(responses):
            found = f"returned {len(returned)} scores for {len(responses)} responses"
            raise self._failed(f"{found}; one for each is needed", None)
        scores = [_number(value) for value in returned]
        for score, value, response in zip(scores, returned, responses, strict=True):
            if not math.isfinite(score):
                found = f"returned {_short(value)}; a finite number of 32 bits is needed"
                raise self._failed(found, response)
        return scores

    def _culprit(self, responses: Sequence[Response]) -> Response | None:
        """Return the first response that fails by itself, or None where only all together do."""
        for response in responses:
            try:
                self.function([response])
            except (Exception, SystemExit):
                return response
        return None

    def _failed(self, found: str, response: Response | None) -> StageError:
        where = ""
        if response is not None:
            prompt = response.messages[-1]["content"] if response.messages else ""
            where = f", on the reply {_short(response.text)} to the prompt {_short(prompt)}"
        message = f"reward {self.name!r}: the function {found}{where}. Correct the function."
        return StageError(message, kind="bad_data")


def load_function(name: str, *, origin: str = "") -> FunctionReward:
    """Return the reward function of a name; its module is imported now.

    Raises StageError (``bad_data``) where nothing installed has the name, where another version
    than ``origin`` is installed, or where the import fails.
    """
    entry = reward_functions().get(name)
    if entry is None:
        allowed = ", ".join(sorted(reward_functions()))
        raise _unusable(
            name,
            f"no installed package has a function of this name; here are {allowed}."
            f"{nearest(name, reward_functions())} Install the package that offers it as an entry"
            f" point of the group {GROUP}",
        )
    if entry.origin != origin:
        raise _unusable(
            name,
            f"the job was planned with {origin or 'our own function'}, but here is "
            f"{entry.origin or 'our own function'}. Install the same version, or plan anew",
        )
    module, _, attribute = entry.entry.partition(":")
    try:
        function = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:
        found = f"{entry.entry!r} cannot be imported: {_printable(error)}"
        raise _unusable(name, f"{found}. Correct the package's entry point") from error
    if not callable(function):
        found = f"{entry.entry!r} is {type(function).__name__}; a function is needed"
        raise _unusable(name, f"{found}. Correct the package's entry point")
    return FunctionReward(name, function)


def _unusable(name: str, problem: str) -> StageError:
    return StageError(f"reward {name!r}: {problem}.", kind="bad_data")


def _number(value: object) -> float:
    """Return the value as fp32 has it, infinite where it is too large; NaN for no number."""
    try:
        return float(torch.tensor(float(value), dtype=torch.float32))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _printable(error: BaseException) -> str:
    """Return an error as one line that cannot steer a terminal: it may quote what a model wrote."""
    text = f"{type(error).__name__}: {error}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _short(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[: SHOWN - 3] + "...")
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
