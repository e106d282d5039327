"""The choice of pacing rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toolkit.pacing.fixed import FixedPacing
from toolkit.pacing.fwdllm_gate import FwdllmGate
from toolkit.pacing.slope_test import SlopeTest

Pacing = Annotated[FixedPacing | FwdllmGate | SlopeTest, Field(discriminator="kind")]
