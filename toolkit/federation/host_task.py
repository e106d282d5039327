"""What the server tells every host about a training run, so that it can make its clients."""

from __future__ import annotations

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from android_harness.job import Loss
from exporters.contract import Part
from toolkit.errors import TrainingError
from toolkit.privacy.slope_noise import SlopeNoise


class HostTask(Part):
    """Nothing of anybody's data: hosts make their examples of their own.

    `template` and `words` (label: word) are those of classification by prompt and verbalizer;
    None: language modelling. `run_id` names the run's files on the phones.
    """

    run_id: str
    bundle_sha256: str
    max_tokens: PositiveInt
    loss: Loss
    label_prior: NonNegativeFloat = 0.0
    template: str | None = None
    words: dict[str, str] | None = None
    threads: PositiveInt = 1
    prefix_bytes: NonNegativeInt = 0
    memory_bytes: PositiveInt | None = None
    timeout_s: PositiveFloat | None = None
    privacy: SlopeNoise | None = None

    def text(self) -> str:
        return self.model_dump_json()

    @classmethod
    def parse(cls, text: str) -> HostTask:
        """
        Raises:
            TrainingError: the text is not what this version of fwdllm writes.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            raise TrainingError(
                f"the server's settings are not readable here: {place}: {problem['msg']}",
                remedy="use the same version of fwdllm on all machines",
            ) from error
