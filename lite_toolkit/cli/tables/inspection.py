"""`lite-toolkit inspect`."""

from lite_toolkit.cli.console import print_facts
from lite_toolkit.cli.tables import metadata
from lite_toolkit.reports import figures
from lite_toolkit.tflite.inspection import Inspection


def show_inspection(found: Inspection) -> None:
    """The report of `lite-toolkit inspect` for people."""
    sizes = found.sizes
    weights = [f"weights {form} {figures.size(size)}" for form, size in sizes.weights_bytes.items()]
    others = {
        "biases": sizes.biases_bytes,
        "other buffers": sizes.other_buffers_bytes,
        "metadata": sizes.metadata_bytes,
        "associated files": sizes.associated_files_bytes,
        "structure": sizes.structure_bytes,
    }
    floats = ", ".join(f"{name} {count}" for name, count in found.float_operators.items())
    converting = found.boundary_operators
    boundary = f", of which {converting} convert the model's input or output" if converting else ""
    uncounted = ", ".join(f"{name} {count}" for name, count in found.uncounted.items())
    facts = [
        ("file", f"{found.file}, {figures.size(found.size_bytes)}, sha256 {found.sha256}"),
        *(("input", figures.endpoint(tensor)) for tensor in found.inputs),
        *(("output", figures.endpoint(tensor)) for tensor in found.outputs),
        ("operators", ", ".join(f"{operator.name} {operator.count}" for operator in found.operators)),
        *(("runs on", needed) for needed in found.needs),
        ("float operators", floats + boundary if floats else "none"),
        ("float tensors", str(found.float_tensors)),
        ("weights", _weights(found)),
        ("params", f"{found.parameters:,}"),
        ("MAdds", f"{figures.millions(found.madds)}, of convolutions and dense layers"),
        *([("not counted", f"{uncounted}: what is inside is in neither params nor MAdds")] if uncounted else []),
        (
            "size by part",
            ", ".join([*weights, *(f"{name} {figures.size(size)}" for name, size in others.items() if size)]),
        ),
        ("metadata", ", ".join(found.metadata) or "none"),
        *(metadata.facts(found.model_metadata) if found.model_metadata else ()),
        *([("metadata error", found.model_metadata_error)] if found.model_metadata_error else []),
        ("associated files", ", ".join(found.associated_files) or "none"),
        ("signatures", ", ".join(found.signatures) or "none"),
    ]
    print_facts(facts)


def _weights(found: Inspection) -> str:
    counts = {
        "per channel": found.weights.per_channel,
        "per tensor": found.weights.per_tensor,
        "not quantized": found.weights.unquantized,
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "none"
