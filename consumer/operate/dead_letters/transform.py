"""What a redrive puts in place of a payload: `--transform`, an operator's own code that mends it, and then the
transform of the settings, as in delivery. Both keep to one contract (docs/transforms.md)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.transformed import only_output
from consumer.operate.errors import Refused
from consumer.settings import Settings
from consumer.transforms import contract
from consumer.transforms.build import input_judge, transform_of
from consumer.transforms.contract import TransformError
from consumer.transforms.sink import Step

type Mend = Callable[[bytes], list[bytes]]
"""From a payload to those to be delivered in its place, none to drop it. Raises TransformFailed; the dead letter stays
then."""


def unchanged(payload: bytes) -> list[bytes]:
    return [payload]


def load_transform(place: str) -> Mend:
    """The function at `module:function`, which is looked for in the working directory, too. Raises Refused."""
    try:
        # its digest is of no use here, and may not be made of whatever a working directory holds
        return contract.load_transform(place, folder=Path.cwd(), with_folder=False).outputs
    except TransformError as error:
        raise Refused(f"--transform: {error}") from error


class InForce:
    """The transform of the settings, if there is one."""

    def __init__(self, settings: Settings) -> None:
        """Raises Refused."""
        try:
            transform = transform_of(settings)
        except TransformError as error:
            raise Refused(f"transform: {error}") from error
        self._step = None if transform is None else Step(transform, input_judge(settings))

    def outputs(self, chunk: Chunk, numbers: Sequence[int]) -> dict[int, Chunk] | Rejection:
        """A chunk for each output of the one record of a chunk: those of these numbers, from 1 on, or all where none is
        given. An output that has no other is number 0."""
        if self._step is None:
            return {0: chunk}
        made = self._step.apply(chunk)
        if made.rejections:
            return made.rejections[0]
        count = len(made.chunk.records)
        return {
            0 if count == 1 else number: only_output(made.chunk, number - 1)
            for number in range(1, count + 1)
            if not numbers or number in numbers
        }
