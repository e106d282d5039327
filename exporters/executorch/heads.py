"""How rows of all heads become one matrix per head, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class HeadShapes:
    """Sizes of the attention over a batch.

    Several query heads share a key-value head; they become further rows of its matrix, so that
    keys and values are never repeated.
    """

    batch: int
    length: int
    heads: int
    key_value_heads: int
    size: int

    @property
    def group(self) -> int:
        return self.heads // self.key_value_heads

    @property
    def matrices(self) -> int:
        """Key-value heads of the whole batch."""
        return self.batch * self.key_value_heads

    def queries(self, q: torch.Tensor) -> torch.Tensor:
        """[copies, rows, heads · size] -> [copies · matrices, group · length, size]"""
        by_head = q.view(-1, self.batch, self.length, self.key_value_heads, self.group, self.size)
        return by_head.permute(0, 1, 3, 4, 2, 5).reshape(-1, self.group * self.length, self.size)

    def keys(self, k: torch.Tensor) -> torch.Tensor:
        """[copies, rows, key_value_heads · size] -> [copies · matrices, size, length]"""
        by_head = k.view(-1, self.batch, self.length, self.key_value_heads, self.size)
        return by_head.permute(0, 1, 3, 4, 2).reshape(-1, self.size, self.length)

    def values(self, v: torch.Tensor) -> torch.Tensor:
        """[copies, rows, key_value_heads · size] -> [copies · matrices, length, size]"""
        by_head = v.view(-1, self.batch, self.length, self.key_value_heads, self.size)
        return by_head.permute(0, 1, 3, 2, 4).reshape(-1, self.length, self.size)

    def rows(self, attended: torch.Tensor) -> torch.Tensor:
        """[copies · matrices, group · length, size] -> [copies, rows, heads · size]"""
        by_head = attended.view(
            -1, self.batch, self.key_value_heads, self.group, self.length, self.size
        )
        return by_head.permute(0, 1, 4, 2, 3, 5).reshape(
            -1, self.batch * self.length, self.heads * self.size
        )

    def tangent_queries(self, q: torch.Tensor) -> torch.Tensor:
        """[K, rows, heads · size] -> [matrices, group · length, K, size]"""
        by_head = q.view(-1, self.batch, self.length, self.key_value_heads, self.group, self.size)
        return by_head.permute(1, 3, 4, 2, 0, 5).reshape(
            self.matrices, self.group * self.length, -1, self.size
        )

    def tangent_keys(self, k: torch.Tensor) -> torch.Tensor:
        """[K, rows, key_value_heads · size] -> [matrices, size, K, length]"""
        by_head = k.view(-1, self.batch, self.length, self.key_value_heads, self.size)
        return by_head.permute(1, 3, 4, 0, 2).reshape(self.matrices, self.size, -1, self.length)

    def tangent_values(self, v: torch.Tensor) -> torch.Tensor:
        """[K, rows, key_value_heads · size] -> [matrices, length, K, size]"""
        by_head = v.view(-1, self.batch, self.length, self.key_value_heads, self.size)
        return by_head.permute(1, 3, 2, 0, 4).reshape(self.matrices, self.length, -1, self.size)

    def tangent_rows(self, attended: torch.Tensor) -> torch.Tensor:
        """[matrices, group · length, K, size] -> [K, rows, heads · size]"""
        by_head = attended.view(
            self.batch, self.key_value_heads, self.group, self.length, -1, self.size
        )
        return by_head.permute(4, 0, 3, 1, 2, 5).reshape(
            -1, self.batch * self.length, self.heads * self.size
        )
