"""What the int8 kernels of operators demand of the scales around them, and which operators have none.

Source: the kernels' own checks, in tensorflow/lite/kernels, and the quantization specification of TFLite.
"""

from lite_toolkit.quantization.ranges import Range


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# These only give their input another shape.
RESHAPING = _names("RESHAPE SQUEEZE EXPAND_DIMS")
# These copy, choose or average values, and their output has the scale of their input.
SAME_AS_INPUT = RESHAPING | _names("""
    AVERAGE_POOL_2D BATCH_TO_SPACE_ND BROADCAST_TO DEPTH_TO_SPACE GATHER GATHER_ND MAX_POOL_2D MIRROR_PAD PAD REDUCE_MAX
    REDUCE_MIN RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 SLICE SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V
    STRIDED_SLICE TILE TRANSPOSE UNPACK
""")
# What these give lies between known values, and the scale of their output is fixed.
FIXED: dict[str, Range] = {
    "L2_NORMALIZATION": (-1.0, 127 / 128),
    "LOGISTIC": (0.0, 255 / 256),
    "SOFTMAX": (0.0, 255 / 256),
    "TANH": (-1.0, 127 / 128),
}
# The scale of their output is chosen. Operands of a CONCATENATION, MAXIMUM and so on are brought to that scale first.
CHOSEN = _names("""
    ABS ADD BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D DIV ELU EXP FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU
    LOG MAXIMUM MEAN MINIMUM MUL PACK PADV2 PRELU RELU RELU6 RSQRT SELECT SELECT_V2 SQRT SQUARED_DIFFERENCE SUB SUM
    TRANSPOSE_CONV
""")
INT8 = SAME_AS_INPUT | CHOSEN | frozenset(FIXED)
# Operators that ai-edge-quantizer does not know, and one that it does whose kernel makes the same demands.
DISGUISES = {
    "ABS": "RELU",
    "BATCH_TO_SPACE_ND": "SLICE",
    "DEPTH_TO_SPACE": "SPACE_TO_DEPTH",
    "ELU": "RELU",
    "EXP": "RELU",
    "EXPAND_DIMS": "RESHAPE",
    "L2_NORMALIZATION": "TANH",
    "LEAKY_RELU": "RELU",
    "LOG": "RELU",
    "MINIMUM": "MAXIMUM",
    "PRELU": "ADD",
    "REDUCE_MAX": "REDUCE_MIN",
    "RELU6": "RELU",
    "REVERSE_V2": "RESHAPE",
    "SPACE_TO_BATCH_ND": "SLICE",
    "SPLIT_V": "SLICE",
    "SQUEEZE": "RESHAPE",
    "TILE": "RESHAPE",
}
