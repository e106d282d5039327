"""YAML of plain values, as the JSON that contracts are read from."""

from __future__ import annotations

import json
from typing import Any

import yaml


def plain_yaml(text: str) -> str:
    """The document of a YAML text in JSON; of an empty one an empty object.

    Raises:
        ValueError: it is not YAML, names a field twice, or holds what JSON cannot.
    """
    try:
        document = yaml.load(text, _Loader)
        return json.dumps({} if document is None else document, default=str)
    # PyYAML raises what its conversions of tagged values happen to raise.
    except (yaml.YAMLError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys, so that the first setting would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)
