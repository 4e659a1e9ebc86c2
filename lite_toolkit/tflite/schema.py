"""Names and numbers of the TensorFlow Lite schema, version 3, as far as the toolkit reads it.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""


def _numbered(names: str) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split()) if name != "-"}


# In each table the fields stand in the order of their numbers; "-" is one that is not read.
FIELDS: dict[str, dict[str, int]] = {
    "Model": _numbered("""version operator_codes subgraphs description buffers metadata_buffer metadata signature_defs
        external_buffer_groups external_buffers"""),
    "OperatorCode": _numbered("deprecated_builtin_code custom_code version builtin_code"),
    "SubGraph": _numbered("tensors inputs outputs operators name"),
    "Tensor": _numbered("shape type buffer name quantization is_variable - shape_signature"),
    "QuantizationParameters": _numbered("- - scale zero_point - - quantized_dimension"),
    "Operator": _numbered("""opcode_index inputs outputs builtin_options_type builtin_options custom_options - - -
        large_custom_options_offset"""),
    "Buffer": _numbered("data offset size"),
    "Metadata": _numbered("name buffer"),
    "SignatureDef": _numbered("- - signature_key"),
}

_ACTIVATION = "fused_activation_function"
_DILATION = "dilation_w_factor dilation_h_factor"
_STRIDES = "padding stride_w stride_h"
_POOLING = (5, _numbered(f"{_STRIDES} filter_width filter_height {_ACTIVATION}"))

# Operator -> number of its table in the union BuiltinOptions, and the fields of that table.
OPTIONS: dict[str, tuple[int, dict[str, int]]] = {
    "CONV_2D": (1, _numbered(f"{_STRIDES} {_ACTIVATION} {_DILATION}")),
    "DEPTHWISE_CONV_2D": (2, _numbered(f"{_STRIDES} depth_multiplier {_ACTIVATION} {_DILATION}")),
    "AVERAGE_POOL_2D": _POOLING,
    "MAX_POOL_2D": _POOLING,
    "FULLY_CONNECTED": (8, _numbered(f"{_ACTIVATION} weights_format keep_num_dims")),
    "SOFTMAX": (9, _numbered("beta")),
    "CONCATENATION": (10, _numbered(f"axis {_ACTIVATION}")),
    "ADD": (11, _numbered(_ACTIVATION)),
    "RESHAPE": (17, _numbered("new_shape")),
    "MUL": (21, _numbered(_ACTIVATION)),
    "MEAN": (27, _numbered("keep_dims")),
    "STRIDED_SLICE": (32, _numbered("begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask")),
    "TRANSPOSE_CONV": (49, _numbered(f"{_STRIDES} {_ACTIVATION}")),
    "PACK": (59, _numbered("values_count axis")),
}

# An option has the same type and default in every table; the others are int32 and 0.
OPTION_TYPES = {"padding": "b", _ACTIVATION: "b", "weights_format": "b", "keep_num_dims": "?", "keep_dims": "?"}
OPTION_DEFAULTS = {"dilation_w_factor": 1, "dilation_h_factor": 1}
ENUMERATIONS = {
    "padding": ("SAME", "VALID"),
    _ACTIVATION: ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
}

# The numbers of the schema's enumerations TensorType and BuiltinOperator are the positions.
TENSOR_TYPES = tuple(
    _numbered("""
float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant uint32
uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2
""")
)
NOT_IN_NUMPY = frozenset(("string", "resource", "variant", "bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2"))
OPERATORS = tuple(
    _numbered("""
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
""")
)
