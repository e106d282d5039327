"""Cross entropy over biased logits, and its derivative."""

from __future__ import annotations

import torch


def weighted_losses(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Σ weight · nll of each copy, float32 [copies]; the first copy's argmax, int64 [positions]).

    The negative log likelihood is (l_j − l_target) − log p_j for any j. With the most likely class
    of the first copy as j, p_j is far from zero, so that no logarithm of a softmax is needed,
    which no delegate has.

    Args:
        logits: float32 [copies, positions, classes].
        targets: int64 [positions].
        weights: float32 [positions].
    """
    likeliest = logits[:1].flatten(0, 1).argmax(dim=-1)
    probabilities = torch.softmax(logits, dim=-1)
    at_likeliest = _at(logits, likeliest)
    nll = at_likeliest - _at(logits, targets) - torch.log(_at(probabilities, likeliest))
    return torch.bmm(nll.mT, weights.view(1, -1, 1).expand(len(nll), -1, 1)).flatten(), likeliest


def loss_slopes(
    probabilities: torch.Tensor,
    tangents: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Σ weight · (⟨p, dl⟩ − dl_target) along each direction, float32 [K].

    Args:
        probabilities: softmax of the logits, float32 [positions, classes].
        tangents: of the logits, float32 [positions, K, classes].
    """
    expected = torch.bmm(tangents, probabilities.view(*probabilities.shape, 1))
    of_target = torch.gather(tangents, 2, targets.view(-1, 1, 1).expand(-1, tangents.shape[1], 1))
    slopes = (expected - of_target).view(1, len(weights), -1)
    return torch.bmm(weights.view(1, 1, -1), slopes).flatten()


def _at(x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """x[:, i, classes[i]], [copies, positions, 1]"""
    return torch.gather(x, 2, classes.view(1, -1, 1).expand(len(x), -1, 1))
