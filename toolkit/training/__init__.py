"""Federated fine-tuning over targets: seeds and coefficients go down, slopes come up."""
