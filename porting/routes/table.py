"""The changes that a route is made of, as data: what each is made to, which endings it answers, for which forms it works.

How they are put together is porting.routes', what they do is in porting.rewrites, by the same words.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from porting.bundles.bundle import BATCH, STATIC
from porting.types import Outcome, Precision, Stage


class Level(str, enum.Enum):
    """What a change is made to."""

    EXPORT = "export"  # the same model, captured or exported in another way
    MODEL = "model"  # the module, before it is captured
    PROGRAM = "program"  # the captured program, operator by operator
    GRAPH = "graph"  # the ONNX graph
    PRECISION = "precision"  # what of the model is lowered to the target's precision
    PLACE = "place"  # what of the model the target runs


@dataclass(frozen=True)
class When:
    """An ending that a change answers; what is left out may be anything."""

    blocker: str = ""
    """Pattern over what stands in the way, in the words of `porting unlock`: `operator: Gelu`, `dtype: complex`."""
    message: str = ""
    """Pattern over the error, and over those of exports that were tried on the way."""
    outcomes: tuple[Outcome, ...] = ()
    stages: tuple[Stage, ...] = ()
    precisions: tuple[Precision, ...] = ()
    targets: str = "*"
    """Glob over the target."""
    versions: str = ""
    """Range of a package that the target stands on, such as `onnxruntime>=1.30,<1.33`; without that package it is not met."""

    @property
    def specific(self) -> bool:
        """Whether it looks for something by name."""
        return bool(self.blocker or self.message or self.versions)


@dataclass(frozen=True)
class Change:
    """One way to make a model easier to take."""

    word: str
    """`name=how`; with an operator in the place of `*` where there is one for each."""
    level: Level
    kinds: tuple[str, ...]
    """Forms it works for."""
    what: str
    answers: tuple[When, ...]
    axes: str = ""
    """Of an export that leaves fewer axes dynamic: which."""
    files: bool = False
    """Whether it is for a bare ONNX file alone, since an exporter does it by itself."""

    @property
    def specific(self) -> bool:
        """Whether it is taken as soon as what it answers is seen, along with others; the rest is tried one by one."""
        return all(when.specific for when in self.answers)


_ALL = ("onnx", "pt2", "aten")
_PICKS = (
    r"must be concrete; got bool|no layer for [^;]*Tensor\.index|Concretization|_local_scalar_dense"
    r"|Unsupported function types.*(nonzero|sym_not)|'int' object has no attribute 'dtype'"
)
"""How stacks say that the size of what a mask picks is not known."""
_PROGRAMS = ("pt2", "aten")
_FAULTS = (Outcome.FAIL, Outcome.UNSUPPORTED, Outcome.MISMATCH)
_REFUSED = (Outcome.FAIL, Outcome.UNSUPPORTED)
_OTHERS = "(batch|decode|odd|far)"
"""Cases of other sizes than the nominal ones."""
OTHER_SIZES = When(message=rf"\bcase {_OTHERS}(: |, output \S+: \d+ of \d+ elements are not finite)", outcomes=_FAULTS)
"""What was captured for the nominal sizes alone, and not said to be: at others it fails, or its answer has another shape or
holes. Numbers that are off are no such thing, at whatever size."""
_FLOATS = (Precision.FP32, Precision.FP16, Precision.BF16)
_LOST_VALUE = "is not a graph input, initializer|Input tensor isn't found for node"
"""What onnxruntime and OpenVINO say of a file in which a node reads what nothing gives."""
_BEFORE_RUN = (Stage.EXPORT, Stage.CONVERT, Stage.LOAD)
PARTED = (Stage.CONVERT, Stage.LOAD, Stage.RUN)
"""Where a stack tells of an operator that it could be spared."""

EXPANDABLE = (
    "Attention", "Celu", "Clip", "Elu", "Gelu", "GreaterOrEqual", "GroupNormalization", "HardSigmoid", "HardSwish",
    "LayerNormalization", "LeakyRelu", "LessOrEqual", "LogSoftmax", "MeanVarianceNormalization", "Mish", "PRelu",
    "RMSNormalization", "Range", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "RotaryEmbedding",
    "Selu", "Shrink", "Softplus", "Softsign", "SwiGLU", "Swish", "ThresholdedRelu",
)  # fmt: skip
"""Operators that the ONNX standard defines by others."""

CHANGES: tuple[Change, ...] = (
    Change(
        "constants=folded", Level.MODEL, _ALL,
        "what follows from constant arguments alone (the patch grid of an image) is computed while the model is captured",
        (When(message="GuardOnDataDependent|data-dependent"), When(blocker="shape: sizes that depend on data")),
    ),
    Change(
        "experts=batched_mm", Level.MODEL, _ALL,
        "experts are computed as one batched product, instead of by a grouped kernel or a loop over those that are hit",
        (When(message=r"grouped_mm|nonzero|GuardOnDataDependent"),),
    ),
    Change(
        "experts=all", Level.MODEL, _ALL,
        "experts that are looped over as data wants it are run all on all tokens, and what was not asked for counts nothing",
        (When(message=r"nonzero|NonZero|GuardOnDataDependent|specialized integer|\.numpy\(\) is not supported"),),
    ),
    Change(
        "module=kept", Level.MODEL, _ALL,
        "a module that is moved to the dtype it has stays as it is",
        (When(message=r"Could ?n.t swap|Cannot swap"),),
    ),
    Change(
        "attention=composed", Level.PROGRAM, _ALL,
        "attention is written as products and a softmax that needs no test for infinity",
        (When(blocker=r"operator: aten::(isneginf|_safe_softmax|scaled_dot_product_attention|_scaled_dot_product\w*)$"),),
    ),
    Change(
        "complex=pairs", Level.PROGRAM, _ALL,
        "complex numbers are pairs of real ones along a last axis, Fourier transforms products with sines and cosines",
        (
            When(blocker="dtype: complex"), When(message=r"[Cc]omplex|view_as_(complex|real)|aten[.:]+polar"),
            When(blocker=r"operator: (DFT|aten::_?fft_\w+)$"), When(message=r"aten[.:]+_?fft_\w+"),
        ),
    ),
    Change(
        "masked_scatter=gathered", Level.PROGRAM, _ALL,
        "the positions of a masked_scatter are counted, and its values gathered",
        (When(blocker=r"operator: aten::masked_scatter$"), When(message=r"masked_scatter|must be concrete; got bool")),
    ),
    Change(
        "float64=float32", Level.PROGRAM, _ALL,
        "what the model computes in float64 is computed in float32",
        (When(blocker="dtype: float64"), When(message=r"legalize operation.*[x<]f64>", outcomes=_FAULTS)),
    ),
    Change(
        "int64=int32", Level.PROGRAM, _ALL,
        "what the model computes in int64 is computed in int32",
        (When(blocker="dtype: int64"),),
    ),
    Change(
        "view=reshape", Level.PROGRAM, _ALL,
        "views are reshapes, which also take a tensor whose memory is not in order",
        (When(message=r"view size is not compatible|aten\.view\.default"),),
    ),
    Change(
        "squeeze=checked", Level.PROGRAM, _ALL,
        "an axis that is to go where it has one place, and has more, stays without asking at run time",
        (When(message=r"Squeeze\b.*must be 1"),),
    ),
    Change(
        "empty=skipped", Level.PROGRAM, _ALL,
        "what is copied into a part without a place is not copied",
        (When(message=r"shape product of 0|f(16|32)\[[^\]]*\b0\]"),),
    ),
    Change(
        "is_all_true=all", Level.PROGRAM, _ALL,
        "the test that all is true is the public operator",
        (When(message="_is_all_true"),),
    ),
    Change(
        "pad=joined", Level.PROGRAM, _ALL,
        "circular padding joins the ends of a tensor to it",
        (When(message=r"padding mode: \[?wrap|[Pp]ad\b.*(wrap|circular)"),),
    ),
    Change(
        "antialias=products", Level.PROGRAM, _ALL,
        "an image is resized with antialiasing by products with two matrices",
        (When(message=r"_upsample_bi\w+2d_aa|[Aa]ntialias"),),
    ),
    Change(
        "einsum=products", Level.PROGRAM, _ALL,
        "an Einsum is written as transpositions and matrix products",
        (When(blocker=r"operator: (Einsum|aten::einsum)$"),),
    ),
    Change(
        "triangle=compared", Level.PROGRAM, _ALL,
        "a triangle of a matrix is chosen by comparing its indices",
        (When(blocker=r"operator: (Trilu|aten::(tril|triu))$"),),
    ),
    Change(
        "searchsorted=counted", Level.PROGRAM, _ALL,
        "the place of a value among sorted ones is how many of them stand before it",
        (When(blocker=r"operator: aten::(searchsorted|bucketize)$"), When(message=r"aten[.:]+(searchsorted|bucketize)")),
    ),
    Change(
        "bags=products", Level.PROGRAM, _ALL,
        "a bag of embeddings is the product of its rows with a matrix of zeros and ones",
        (When(blocker=r"operator: aten::_?embedding_bag\w*$"), When(message=r"embedding_bag")),
    ),
    Change(
        "bits=numbers", Level.PROGRAM, _ALL,
        "the lowest bits of a whole number are its remainder, and what a boolean is joined to is chosen by it",
        (
            When(blocker=r"operator: (aten::)?(Bitwise|bitwise_|__)(and|or|xor|And|Or|Xor)_*$"),
            When(message=r"[Bb]itwise_?([aA]nd|[oO]r|[xX]or)"),
        ),
    ),
    Change(
        "isin=compared", Level.PROGRAM, _ALL,
        "whether a value is among others is found by comparing it with each; PyTorch decomposes it to a search among sorted ones",
        (When(blocker=r"operator: aten::(isin|searchsorted)$"), When(message=r"aten[.:]+(isin|searchsorted)")),
    ),
    Change(
        "sort=plain", Level.PROGRAM, ("onnx",),
        "a sort that keeps the order of equals is a plain one, which keeps it by the ONNX standard; so is one for places alone",
        (When(message=r"aten[.:]+(argsort|sort\b.*stable)"),),
    ),
    Change(
        "where=selected", Level.GRAPH, ("onnx",),
        "Where is taken apart for dtypes that it has no kernel for: by logic for bool, by float32 for the other floats",
        (When(blocker=r"(operator|dtype): (of )?Where$"), When(message=r"implementation for Where\(")),
    ),
    Change(
        "cumsum=integers", Level.GRAPH, ("onnx",),
        "a CumSum of bools, which the standard does not have and an exporter writes, is one of integers",
        (When(message=r"bool.*\(CumSum\)"), When(blocker="operator: CumSum$")),
    ),
    Change(
        "isnan=compared", Level.GRAPH, ("onnx",),
        "IsNaN is a comparison of the value with itself",
        (When(blocker="operator: IsNaN$"),),
    ),
    Change(
        "mod=divided", Level.GRAPH, ("onnx",),
        "what whole numbers leave when divided (Mod) is worked out by division",
        (When(blocker="operator: Mod$"),),
    ),
    Change(
        "batch_norm=folded", Level.GRAPH, ("onnx",),
        "BatchNormalization goes into the weights of the convolution before it, else becomes a product and a sum",
        (When(blocker="operator: BatchNormalization$"),),
    ),
    Change(
        "expand=*", Level.GRAPH, ("onnx",),
        "the operator is written by others, as the ONNX standard defines it",
        (When(blocker=rf"operator: ({'|'.join(EXPANDABLE)})$"),),
    ),
    Change(
        "simplify=folded", Level.GRAPH, ("onnx",),
        "what follows from constants and from declared shapes is folded, in a file that no exporter of ours has written",
        (When(outcomes=_REFUSED, stages=(Stage.CONVERT, Stage.LOAD)),), files=True,
    ),
    Change(
        "capture=torchscript", Level.EXPORT, ("onnx",),
        "exported by the TorchScript exporter",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "optimize=off", Level.EXPORT, ("onnx",),
        "exported without the exporter's own optimisations, which take x + 1e-8 for x, and lose the bound of a second Min or Max",
        (When(outcomes=(Outcome.MISMATCH,), precisions=_FLOATS), When(message=_LOST_VALUE, outcomes=_REFUSED)),
    ),
    Change(
        "weights=unread", Level.EXPORT, ("onnx",),
        "exported blind to the weights: nothing that follows from them is computed, so that none is held or written twice",
        (When(blocker="limit: host oom$", stages=(Stage.EXPORT,)), When(message="PassError", stages=(Stage.EXPORT,))),
    ),
    Change(
        "capture=strict", Level.EXPORT, _ALL,
        "captured by torch.export in strict mode",
        (When(outcomes=_REFUSED, stages=(Stage.EXPORT,)),),
    ),
    Change(
        "mask=left_out", Level.MODEL, _ALL,
        "a mask that hides nothing, of a model that was given none, is none, as it is where nobody captures it",
        (When(message="[Aa]ttention mask should be of size", stages=(Stage.EXPORT,)),),
    ),
    Change(
        "data=replayed", Level.MODEL, _ALL,
        "what the model reads out of tensors into Python is answered as on the nominal case, as a tracer would",
        (When(outcomes=_REFUSED, stages=(Stage.EXPORT,)),),
    ),
    Change(
        "picks=counted", Level.PROGRAM, _ALL,
        "a mask picks as many rows as on the nominal case, found by counting; sizes that are read out of data are those of there",
        (
            When(message=_PICKS), When(message="data-dependent expression", stages=(Stage.CONVERT,)),
            When(blocker=r"operator: (aten::(index|index_put|nonzero|masked_select)_?|Tensor\.(index|index_put)|NonZero)$"),
        ),
    ),
    Change(
        "attention=eager", Level.MODEL, _ALL,
        "the model's own implementation of attention by single operators is chosen",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "scatter=products", Level.PROGRAM, _ALL,
        "what is added up, or compared, at places that an index names is a product with a matrix of zeros and ones",
        (
            When(blocker=r"operator: aten::(index_add|scatter_add|scatter_reduce)\w*$"),
            When(message=r"scatter_reduce|index_add|scatter_add|Only update, Add, Multiply|Scatter(ND|Elements)"),
            When(outcomes=(Outcome.MISMATCH,), precisions=_FLOATS),
        ),
    ),
    Change(
        "bicubic=products", Level.PROGRAM, _ALL,
        "an image is resized by a cubic filter by products with two matrices",
        (
            When(blocker=r"operator: aten::upsample_bicubic2d\w*$"),
            When(outcomes=(Outcome.MISMATCH,), precisions=_FLOATS),
        ),
    ),
    Change(
        "pool=products", Level.PROGRAM, _ALL,
        "averages over areas (adaptive_avg_pool2d) of an image whose size varies are products with two matrices",
        (When(message=rf"\bcase {_OTHERS}, output \S+: (?!\d+ of )", outcomes=(Outcome.MISMATCH,), precisions=_FLOATS),),
    ),
    Change(
        "volumes=frames", Level.PROGRAM, _ALL,
        "convolutions and pooling of volumes are those of their frames, added up or the largest of them",
        (
            When(blocker=r"operator: (aten::)?(convolution|conv3d|conv_transpose3d|max_pool3d|avg_pool3d)\w*$"),
            When(message="STABLEHLO_CONVOLUTION|mhlo.convolution", outcomes=_FAULTS),
            When(message="SIGSEGV", outcomes=_FAULTS, targets="mnn:*"),
        ),
    ),
    Change(
        "fold=convolution", Level.PROGRAM, _ALL,
        "patches that are put together to an image (fold) are a transposed convolution whose kernels are ones and zeros",
        (
            When(blocker=r"operator: (aten::)?(col2im|Col2Im)$"), When(message="col2im|Col2Im"),
            When(message="expected offsets to be non-negative", targets="iree:*"),
            When(message="Cannot broadcast index shapes", targets="tvm:*"),
        ),
    ),
    Change(
        "conv_transpose=spread", Level.PROGRAM, _ALL,
        "a transposed convolution, as fold is one, is a plain one over rows and columns with zeros between them",
        (
            When(message="Only update, Add, Multiply", targets="litert:*"),
            When(blocker=r"operator: (aten::)?(conv_transpose2d\S*|ConvTranspose)$"),
            When(message=r"mhlo.convolution.*lhs_dilation = dense<\[?[2-9]", outcomes=_FAULTS),
        ),
    ),
    Change(
        "softplus=series", Level.PROGRAM, _ALL,
        "Softplus is written by a series that keeps the digits of small answers, which log(1 + exp(x)) loses",
        (When(outcomes=(Outcome.MISMATCH,), precisions=_FLOATS),),
    ),
    Change(
        "tanh=fraction", Level.PROGRAM, _ALL,
        "Tanh is written by a continued fraction that keeps the digits of small answers",
        (When(outcomes=(Outcome.MISMATCH,), precisions=_FLOATS),),
    ),
    Change(
        "decompose=core", Level.PROGRAM, _PROGRAMS,
        "operators are decomposed to the core ATen set",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "axes=batch", Level.EXPORT, _ALL, "only the batch stays dynamic",
        (When(outcomes=_REFUSED, stages=_BEFORE_RUN), OTHER_SIZES), BATCH,
    ),
    Change(
        "fix=*", Level.EXPORT, _ALL,
        "an axis is fixed at its nominal size, one after the other; those that are left stay dynamic",
        (When(outcomes=_REFUSED, stages=_BEFORE_RUN), OTHER_SIZES),
    ),
    Change(
        "keep=*", Level.PRECISION, ("onnx",),
        "the layers that the lower precision costs most, by measurement, stay in fp32: 5, 10, 25, 50 percent of them",
        (When(outcomes=(Outcome.MISMATCH,), precisions=(Precision.INT8, Precision.FP16)),),
    ),
    Change(
        "axes=static", Level.EXPORT, _ALL, "no axis is dynamic",
        (When(outcomes=_REFUSED, stages=_BEFORE_RUN), OTHER_SIZES), STATIC,
    ),
    Change(
        "host=*", Level.PLACE, ("onnx",),
        "the operator is left to the host, between parts that the target runs; tried last, and at best `degraded`",
        (When(outcomes=_REFUSED, stages=PARTED),),
    ),
)  # fmt: skip

KEPT = (5, 10, 25, 50)
"""Percent of the layers that are kept in fp32, one after the other."""
