"""One vector register's worth of fibres as a value in Numba code.

``load(array, k)`` reads the k-th group of lanes of a flat float array as a ``Vec``: 16 lanes of float32 or 8 of
float64 (64 bytes); arithmetic with other vectors and with plain numbers works lane by lane. Machines with narrower
registers split it. Written out because the automatic vectoriser does not see that the many arrays of the fibre
kernel do not overlap. Literals take the type of the lanes, so one kernel text serves both precisions.
"""

# The functions below are typed by Numba, not by mypy: their arguments are types and IR values.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,type-arg,arg-type,no-any-return"
from __future__ import annotations

import math
import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

BYTES = 64
_FLAGS = ("contract",)  # multiply-adds may fuse; nothing else of IEEE arithmetic is given up
_EXP_TERMS = {32: 6, 64: 13}  # of the Taylor series of 2^f - 1 on |f| <= 1/2: 2e-7 and 4e-17 relative


class Vec(types.Type):
    """Lanes of one float type."""

    def __init__(self, dtype: Any):
        self.dtype = dtype
        self.lanes = 8 * BYTES // dtype.bitwidth
        super().__init__(f"Vec({self.lanes} x {dtype})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _vector(fe_type))


def _scalar(vec: Vec) -> Any:
    return ir.FloatType() if vec.dtype.bitwidth == 32 else ir.DoubleType()


def _vector(vec: Vec) -> Any:
    return ir.VectorType(_scalar(vec), vec.lanes)


def _constant(vec: Vec, value: float) -> Any:
    return ir.Constant(_vector(vec), [ir.Constant(_scalar(vec), value)] * vec.lanes)


def _splat(builder, value, vec: Vec):
    """The same scalar in every lane."""
    width = ir.VectorType(ir.IntType(32), vec.lanes)
    first = builder.insert_element(ir.Constant(_vector(vec), ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, ir.Constant(_vector(vec), ir.Undefined), ir.Constant(width, [0] * vec.lanes))


def _lanes(context, builder, value, from_type, vec: Vec):
    """A vector or number as a vector of this type."""
    return value if isinstance(from_type, Vec) else _splat(builder, context.cast(builder, value, from_type, vec.dtype), vec)


def _define(symbol, instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            vectors = [a for a in args if isinstance(a, Vec)]
            others = [a for a in args if not isinstance(a, Vec)]
            if len(args) == 2 and vectors and all(isinstance(a, types.Float | types.Integer) for a in others) and len(set(vectors)) == 1:
                return vectors[0](*args)
            return None

    infer_global(symbol)(Template)

    def lower(context, builder, signature, args):
        vec = signature.return_type
        left, right = (_lanes(context, builder, a, t, vec) for a, t in zip(args, signature.args, strict=True))
        return getattr(builder, instruction)(left, right, flags=_FLAGS)

    for left, right in ((Vec, Vec), (Vec, types.Number), (types.Number, Vec)):
        lower_builtin(symbol, left, right)(lower)


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    _define(_symbol, _instruction)


def _address(context, builder, array_type, array, index, vec: Vec):
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    offset = builder.mul(index, ir.Constant(index.type, vec.lanes))
    return builder.bitcast(builder.gep(data, [offset]), _vector(vec).as_pointer())


@intrinsic
def load(typing_context, array, index):
    """The ``index``-th group of lanes of a flat array."""
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        where = context.cast(builder, args[1], signature.args[1], types.intp)
        return builder.load(_address(context, builder, signature.args[0], args[0], where, vec), align=vec.dtype.bitwidth // 8)

    return vec(array, index), codegen


@intrinsic
def store(typing_context, array, index, value):
    """Write a group of lanes."""

    def codegen(context, builder, signature, args):
        vec = signature.args[2]
        where = context.cast(builder, args[1], signature.args[1], types.intp)
        builder.store(args[2], _address(context, builder, signature.args[0], args[0], where, vec), align=vec.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, value), codegen


@intrinsic
def fill(typing_context, array, value):
    """A number in every lane of a vector that fits ``array``."""
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        return _lanes(context, builder, args[1], signature.args[1], vec)

    return vec(array, value), codegen


def _pick(builder, comparison: str, a, b):
    return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)


@intrinsic
def larger(typing_context, a, b):
    """Lane by lane maximum."""

    def codegen(context, builder, signature, args):
        return _pick(builder, ">", args[0], _lanes(context, builder, args[1], signature.args[1], signature.return_type))

    return a(a, b), codegen


@intrinsic
def smaller(typing_context, a, b):
    """Lane by lane minimum."""

    def codegen(context, builder, signature, args):
        return _pick(builder, "<", args[0], _lanes(context, builder, args[1], signature.args[1], signature.return_type))

    return a(a, b), codegen


@intrinsic
def lanes_at_least(typing_context, a, bound):
    """Bit mask of the lanes whose value is at least ``bound``."""

    def codegen(context, builder, signature, args):
        vec = signature.args[0]
        flags = builder.fcmp_ordered(">=", args[0], _lanes(context, builder, args[1], signature.args[1], vec))
        return builder.zext(builder.bitcast(flags, ir.IntType(vec.lanes)), ir.IntType(64))

    return types.int64(a, bound), codegen


def _exponential(builder, x, vec: Vec):
    """(2^n, 2^n (2^f - 1)) with e^x = their sum, |f| <= 1/2: the second keeps its digits near x = 0. Needs |x| <= 80."""
    bits, mantissa = vec.dtype.bitwidth, 23 if vec.dtype.bitwidth == 32 else 52
    integers = ir.VectorType(ir.IntType(bits), vec.lanes)

    def whole(value: int) -> Any:
        return ir.Constant(integers, [ir.Constant(ir.IntType(bits), value)] * vec.lanes)

    y = builder.fmul(x, _constant(vec, 1.0 / math.log(2.0)))
    # adding 1.5 * 2^mantissa rounds to a whole number, which then stands in the low bits
    magic = _constant(vec, 1.5 * 2.0**mantissa)
    shifted = builder.fadd(y, magic)
    f = builder.fsub(y, builder.fsub(shifted, magic))
    exponent = builder.shl(builder.bitcast(shifted, integers), whole(mantissa))
    power = builder.bitcast(builder.add(exponent, whole(((1 << (bits - mantissa - 2)) - 1) << mantissa)), _vector(vec))
    series = _constant(vec, 0.0)
    for k in range(_EXP_TERMS[bits], 0, -1):
        series = builder.fadd(builder.fmul(series, f, flags=_FLAGS), _constant(vec, math.log(2.0) ** k / math.factorial(k)), flags=_FLAGS)
    return power, builder.fmul(power, builder.fmul(series, f, flags=_FLAGS), flags=_FLAGS)


@intrinsic
def exp(typing_context, x):
    """e^x for |x| <= 80."""

    def codegen(context, builder, signature, args):
        power, rest = _exponential(builder, args[0], signature.return_type)
        return builder.fadd(power, rest)

    return x(x), codegen


@intrinsic
def expm1(typing_context, x):
    """e^x - 1 for |x| <= 80, exact to the last digits near x = 0."""

    def codegen(context, builder, signature, args):
        vec = signature.return_type
        power, rest = _exponential(builder, args[0], vec)
        return builder.fadd(builder.fsub(power, _constant(vec, 1.0)), rest)

    return x(x), codegen
