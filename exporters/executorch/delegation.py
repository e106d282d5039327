"""Which operations the backend took, and which stayed on the portable kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import ExecutorchProgramManager

from exporters.errors import ExportError
from exporters.executorch.backends.backend import Backend
from exporters.manifest import Delegation


def delegation_of(program: ExecutorchProgramManager, method: str, backend: Backend) -> Delegation:
    """Counts over the graph of one method."""
    graph = program.exported_program(method).graph_module
    info = get_delegation_info(graph)
    # What is not an operator with a schema calls a delegate, or picks one of its outputs.
    schemas = [getattr(node.target, "_schema", None) for node in graph.graph.nodes]
    portable = Counter(schema.name.rpartition("::")[2] for schema in schemas if schema)
    return Delegation(
        backend=backend.name,
        delegated=info.num_delegated_nodes,
        subgraphs=info.num_delegated_subgraphs,
        portable=dict(sorted(portable.items())),
    )


def refuse_portable(delegations: Iterable[Delegation], backend: Backend) -> None:
    """Raises ExportError where an operation was left to the portable kernels that may not be."""
    left = {name for each in delegations for name in each.portable} - backend.allowed_portable
    if left:
        raise ExportError(
            f"{backend.name} does not take {', '.join(sorted(left))}, which would run on "
            "ExecuTorch's slow portable kernels",
            remedy="choose another backend or quantization, or allow it with --allow-portable",
        )
