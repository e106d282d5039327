"""ExecuTorch bundles: perturbed inference as programs (`.pte`) over one weights file (`.ptd`)."""
