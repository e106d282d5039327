"""Baselines that backpropagate, over the same simulated clients as forward gradients."""
