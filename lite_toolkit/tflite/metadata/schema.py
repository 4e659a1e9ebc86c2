"""The schema of metadata, version 1.5.0, as data, and the way between its flatbuffers and documents.

A document is a dictionary of the fields that are there: text, numbers, lists and dictionaries; an enumeration's value
is its name, and a union is a dictionary of one key, the name of its member.

Source: tensorflow/lite/schema/metadata_schema.fbs, https://github.com/tensorflow/tflite-support.
"""

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.flatbuffer import Table, root
from lite_toolkit.tflite.flatbuffer_writer import Numbers, Scalar, Value, write

ENTRY = "TFLITE_METADATA"  # the name of the model's entry
IDENTIFIER = b"M001"

_TABLES = """
AssociatedFile name:string description:string type:AssociatedFileType locale:string version:string
FeatureProperties
ImageSize width:uint height:uint
ImageProperties color_space:ColorSpaceType default_size:ImageSize
AudioProperties sample_rate:uint channels:uint
BoundingBoxProperties index:[uint] type:BoundingBoxType coordinate_type:CoordinateType
ValueRange min:int max:int
Content content_properties:ContentProperties range:ValueRange
NormalizationOptions mean:[float] std:[float]
ScoreCalibrationOptions score_transformation:ScoreTransformationType default_score:float
ScoreThresholdingOptions global_score_threshold:float
BertTokenizerOptions vocab_file:[AssociatedFile]
SentencePieceTokenizerOptions sentencePiece_model:[AssociatedFile] vocab_file:[AssociatedFile]
RegexTokenizerOptions delim_regex_pattern:string vocab_file:[AssociatedFile]
ProcessUnit options:ProcessUnitOptions
Stats max:[float] min:[float]
TensorGroup name:string tensor_names:[string]
TensorMetadata name:string description:string dimension_names:[string] content:Content process_units:[ProcessUnit] \
stats:Stats associated_files:[AssociatedFile]
CustomMetadata name:string data:[ubyte]
SubGraphMetadata name:string description:string input_tensor_metadata:[TensorMetadata] \
output_tensor_metadata:[TensorMetadata] associated_files:[AssociatedFile] input_process_units:[ProcessUnit] \
output_process_units:[ProcessUnit] input_tensor_groups:[TensorGroup] output_tensor_groups:[TensorGroup] \
custom_metadata:[CustomMetadata]
ModelMetadata name:string description:string version:string subgraph_metadata:[SubGraphMetadata] author:string \
license:string associated_files:[AssociatedFile] min_parser_version:string
"""
_ENUMERATIONS = {
    "AssociatedFileType": (
        *("UNKNOWN", "DESCRIPTIONS", "TENSOR_AXIS_LABELS", "TENSOR_VALUE_LABELS", "TENSOR_AXIS_SCORE_CALIBRATION"),
        *("VOCABULARY", "SCANN_INDEX_FILE"),
    ),
    "BoundingBoxType": ("UNKNOWN", "BOUNDARIES", "UPPER_LEFT", "CENTER"),
    "ColorSpaceType": ("UNKNOWN", "RGB", "GRAYSCALE"),
    "CoordinateType": ("RATIO", "PIXEL"),
    "ScoreTransformationType": ("IDENTITY", "LOG", "INVERSE_LOGISTIC"),
}
_UNIONS = {
    "ContentProperties": ("FeatureProperties", "ImageProperties", "BoundingBoxProperties", "AudioProperties"),
    "ProcessUnitOptions": (
        *("NormalizationOptions", "ScoreCalibrationOptions", "ScoreThresholdingOptions", "BertTokenizerOptions"),
        *("SentencePieceTokenizerOptions", "RegexTokenizerOptions"),
    ),
}
_CODES = {"int": "i", "uint": "I", "float": "f"}  # of `struct`

# Table -> the name and the form of each field.
FORMS = {name: dict(field.split(":") for field in fields) for name, *fields in map(str.split, _TABLES.splitlines()[1:])}


def _numbered(forms: Mapping[str, str]) -> dict[str, int]:
    """The numbers of a table's fields; a union has two, of the member's number and of its table."""
    names = [[f"{field}_type", field] if form in _UNIONS else [field] for field, form in forms.items()]
    return {name: number for number, name in enumerate(chain.from_iterable(names))}


FIELDS = {table: _numbered(forms) for table, forms in FORMS.items()}


def decode(content: bytes) -> dict[str, Any]:
    """The document in the bytes of a buffer.

    Raises:
        ModelError: the bytes are no metadata, are malformed, or of a newer schema.
    """
    if content[4:8] != IDENTIFIER:
        raise ModelError(f"metadata: {content[4:8]!r} where {IDENTIFIER!r} belongs")
    return _decoded(root(content, FIELDS["ModelMetadata"], "metadata"), "ModelMetadata")


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document; equal documents give equal bytes."""
    return write(_encoded(document, "ModelMetadata"), IDENTIFIER)


def _decoded(table: Table, kind: str) -> dict[str, Any]:
    return {field: _read(table, field, form) for field, form in FORMS[kind].items() if table.has(field)}


def _read(table: Table, field: str, form: str) -> Any:
    where = f"{table.where}.{field}"
    if form.startswith("["):
        return _read_vector(table, field, form[1:-1])
    if form == "string":
        return table.text(field)
    if form == "float":
        return _finite([table.number(field)], where)[0]
    if form in _CODES:
        return table.integer(field, _CODES[form])
    if form in _ENUMERATIONS:
        return _member(_ENUMERATIONS[form], table.integer(field, "B"), where)
    if form not in _UNIONS:
        return _inside(table, field, form)
    member = _member(_UNIONS[form], table.integer(f"{field}_type", "B") - 1, f"{where}_type")
    return {member: _inside(table, field, member)}


def _read_vector(table: Table, field: str, form: str) -> Any:
    if form == "string":
        return [content.decode(errors="replace") for content in table.contents(field)]
    if form == "ubyte":
        return table.vector(field, "u1").tobytes()
    if form == "float":
        return _finite(table.vector(field, "f4").tolist(), f"{table.where}.{field}")
    if form == "uint":
        return table.vector(field, "u4").tolist()
    return [_decoded(member, form) for member in table.tables(field, FIELDS[form])]


def _inside(table: Table, field: str, kind: str) -> dict[str, Any]:
    found = table.table(field, FIELDS[kind])
    return {} if found is None else _decoded(found, kind)


def _member(choices: tuple[str, ...], number: int, where: str) -> str:
    if not 0 <= number < len(choices):
        raise ModelError(f"{where} {number}: must be 0 to {len(choices) - 1}, as in version 1.5.0 of the schema")
    return choices[number]


def _finite(values: list[float], where: str) -> list[float]:
    if not all(map(math.isfinite, values)):
        raise ModelError(f"{where} {values}: must be finite")
    return values


def _encoded(document: Mapping[str, Any], kind: str) -> dict[int, Value]:
    made: dict[int, Value] = {}
    numbers = FIELDS[kind]
    for field, value in document.items():
        form = FORMS[kind][field]
        if form in _UNIONS:
            ((form, value),) = value.items()
            member = _UNIONS[FORMS[kind][field]].index(form)
            made[numbers[f"{field}_type"]] = Scalar("B", 1 + member)
        made[numbers[field]] = _written(value, form)
    return made


def _written(value: Any, form: str) -> Value:
    if form in _CODES:
        return Scalar(_CODES[form], value)
    if form in _ENUMERATIONS:
        return Scalar("B", _ENUMERATIONS[form].index(value))
    if form.strip("[]") in _CODES:
        return Numbers(_CODES[form[1:-1]], value)
    if form.strip("[]") in FORMS:
        kind = form.strip("[]")
        return [_encoded(member, kind) for member in value] if form.startswith("[") else _encoded(value, kind)
    result: Value = value  # text, bytes or a list of texts
    return result
