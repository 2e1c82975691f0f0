"""One vector register's worth of fibres as a value in Numba code.

``load(array, k)`` reads the k-th group of lanes of a flat float array as a ``Vec``: 16 lanes of float32 or 8 of
float64 (64 bytes); arithmetic with other vectors and with plain numbers works lane by lane. Machines with narrower
registers split it. Written out because the automatic vectoriser does not see that the many arrays of the fibre
kernel do not overlap. Literals take the type of the lanes, so one kernel text serves both precisions.
"""

# The functions below are typed by Numba, not by mypy: their arguments are types and IR values.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,type-arg,arg-type,no-any-return,type-var"
from __future__ import annotations

import math
import operator
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

BYTES = 64
_FLAGS = ("contract",)  # multiply-adds may fuse; nothing else of IEEE arithmetic is given up
_EXP_TERMS = {32: 6, 64: 11}  # of (2^f - 1) / f on |f| <= 1/2: 4e-9 and 1e-17 relative


def zeros(size: int, dtype: Any) -> Any:
    """(size,) zeros that begin at a multiple of ``BYTES``: a vector that lies across two cache lines costs two loads."""
    width = np.dtype(dtype).itemsize
    room = np.zeros(size + BYTES // width, dtype)
    skip = -room.ctypes.data % BYTES // width
    return room[skip : skip + size]


def aligned(values: Any) -> Any:
    """A flat copy that begins at a multiple of ``BYTES``."""
    values = np.asarray(values)
    result = zeros(values.size, values.dtype)
    result.reshape(values.shape)[:] = values
    return result


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
    return _place(builder, array_type, array, context, builder.mul(index, ir.Constant(index.type, vec.lanes)), vec)


def _place(builder, array_type, array, context, offset, vec: Vec):
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _vector(vec).as_pointer())


@intrinsic
def load_at(typing_context, array, offset):
    """The lanes that begin at any element ``offset`` of a flat array."""
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        where = context.cast(builder, args[1], signature.args[1], types.intp)
        return builder.load(_place(builder, signature.args[0], args[0], context, where, vec), align=vec.dtype.bitwidth // 8)

    return vec(array, offset), codegen


@intrinsic
def store_at(typing_context, array, offset, value):
    """Write lanes from any element ``offset`` on."""

    def codegen(context, builder, signature, args):
        vec = signature.args[2]
        where = context.cast(builder, args[1], signature.args[1], types.intp)
        builder.store(args[2], _place(builder, signature.args[0], args[0], context, where, vec), align=vec.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, offset, value), codegen


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


@intrinsic
def spread(typing_context, array, index):
    """The ``index``-th number of a flat array in every lane."""
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        return _splat(builder, builder.load(builder.gep(data, [context.cast(builder, args[1], signature.args[1], types.intp)])), vec)

    return vec(array, index), codegen


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


def _fma(builder, a, b, c):
    """a b + c with one rounding."""
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3),
                                              f"llvm.fma.v{a.type.count}f{32 if a.type.element == ir.FloatType() else 64}")
    return builder.call(function, [a, b, c])


@cache
def _power_of_two(terms: int) -> list[float]:
    """Coefficients of the polynomial that meets (2^f - 1) / f at the Chebyshev points of |f| <= 1/2, lowest first."""
    # 1e-30: the middle point is 0 where the number of terms is odd
    scaled = np.polynomial.chebyshev.chebinterpolate(lambda x: np.expm1((x + 1e-30) / 2 * math.log(2.0)) / ((x + 1e-30) / 2), terms - 1)
    return [float(c * 2.0**k) for k, c in enumerate(np.polynomial.chebyshev.cheb2poly(scaled))]


def _exponential(builder, x, vec: Vec):
    """(2^n, 2^n (2^f - 1)) with e^x = their sum, |f| <= 1/2: the second keeps its digits near x = 0. Needs |x| <= 80."""
    bits, mantissa = vec.dtype.bitwidth, 23 if vec.dtype.bitwidth == 32 else 52
    integers = ir.VectorType(ir.IntType(bits), vec.lanes)

    def whole(value: int) -> Any:
        return ir.Constant(integers, [ir.Constant(ir.IntType(bits), value)] * vec.lanes)

    # adding 1.5 * 2^mantissa rounds to a whole number, which then stands in the low bits
    magic, per_bit = _constant(vec, 1.5 * 2.0**mantissa), 1.0 / math.log(2.0)
    shifted = _fma(builder, x, _constant(vec, per_bit), magic)
    # in two parts: the rounding of 1 / ln 2 alone would cost 1e-7 of e^10
    head = float(np.float32(per_bit) if bits == 32 else per_bit)
    f = _fma(builder, x, _constant(vec, head), builder.fneg(builder.fsub(shifted, magic)))
    if bits == 32:
        f = _fma(builder, x, _constant(vec, per_bit - head), f)
    exponent = builder.shl(builder.bitcast(shifted, integers), whole(mantissa))
    power = builder.bitcast(builder.add(exponent, whole(((1 << (bits - mantissa - 2)) - 1) << mantissa)), _vector(vec))
    series = None
    for coefficient in reversed(_power_of_two(_EXP_TERMS[bits])):
        series = _constant(vec, coefficient) if series is None else _fma(builder, series, f, _constant(vec, coefficient))
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


POLYNOMIAL = {32: 5, 64: 9}  # terms of each piece of a table
PIECES = {32: 32, 64: 16}  # of a table: two registers hold one coefficient of all


def permutes() -> bool:
    """Whether the processor that kernels are compiled for picks from two registers at once (AVX-512)."""
    from numba.core.registry import cpu_target

    return "+avx512f" in cpu_target.target_context.codegen()._tm_features.split(",")


@intrinsic
def interval(typing_context, x, scale, offset):
    """(n in the low bits, y - n) for y = x scale + offset and n the nearest whole number; 0 <= n < 2^21, offset - n exact."""
    pair = types.UniTuple(x, 2)

    def codegen(context, builder, signature, args):
        vec = signature.args[0]
        factor, shift = (_lanes(context, builder, a, t, vec) for a, t in zip(args[1:], signature.args[1:], strict=True))
        magic = _constant(vec, 1.5 * 2.0 ** (23 if vec.dtype.bitwidth == 32 else 52))
        shifted = builder.fadd(_fma(builder, args[0], factor, shift), magic)
        rest = _fma(builder, args[0], factor, builder.fsub(shift, builder.fsub(shifted, magic)))
        return context.make_tuple(builder, pair, (shifted, rest))

    return pair(x, scale, offset), codegen


def _from_two(builder, first, second, chosen, vec: Vec):
    """In each lane the chosen one of the lanes of two vectors, counted through both."""
    name = f"llvm.x86.avx512.vpermi2var.{'ps' if vec.dtype.bitwidth == 32 else 'pd'}.512"
    pick = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_vector(vec), [_vector(vec), chosen.type, _vector(vec)]), name)
    return builder.call(pick, [first, chosen, second])


def _from_registers(context, builder, array_type, array, at, chosen, vec: Vec):
    """A coefficient of the chosen pieces, from the two groups of lanes at ``at``."""
    halves = [builder.load(_address(context, builder, array_type, array, builder.add(at, ir.Constant(at.type, half)), vec),
                           align=vec.dtype.bitwidth // 8) for half in (0, 1)]
    return _from_two(builder, halves[0], halves[1], chosen, vec)


def _lane_by_lane(context, builder, array_type, array, at, chosen, vec: Vec):
    """The same for processors that cannot."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    start, values = builder.mul(at, ir.Constant(at.type, vec.lanes)), ir.Constant(_vector(vec), ir.Undefined)
    low = ir.Constant(chosen.type.element, PIECES[vec.dtype.bitwidth] - 1)
    for lane in range(vec.lanes):
        place = ir.Constant(ir.IntType(32), lane)
        offset = builder.zext(builder.and_(builder.extract_element(chosen, place), low), ir.IntType(64)) if vec.dtype.bitwidth == 32 else \
            builder.and_(builder.extract_element(chosen, place), low)
        values = builder.insert_element(values, builder.load(builder.gep(data, [builder.add(start, offset)])), place)
    return values


@intrinsic
def piecewise(typing_context, array, index, piece, x):
    """Polynomial in x of the ``piece`` that ``interval`` found in each lane, from the ``index``-th table of ``array``.

    A table is (terms, pieces), highest power first. Fast where the processor ``permutes``.
    """
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        bits = vec.dtype.bitwidth
        terms, integers = POLYNOMIAL[bits], ir.VectorType(ir.IntType(bits), vec.lanes)
        where = context.cast(builder, args[1], signature.args[1], types.intp)
        chosen, total = builder.bitcast(args[2], integers), None
        coefficient = _from_registers if permutes() else _lane_by_lane
        for k in range(terms):
            at = builder.add(builder.mul(where, ir.Constant(where.type, 2 * terms)), ir.Constant(where.type, 2 * k))
            found = coefficient(context, builder, signature.args[0], args[0], at, chosen, vec)
            total = found if total is None else _fma(builder, total, args[3], found)
        return total

    return vec(array, index, piece, x), codegen


@intrinsic
def rearranged(typing_context, array, index, whose):
    """The ``index``-th group of lanes with that of lane ``whose[k]`` in lane k; ``whose`` are int64, below their number."""
    vec = Vec(array.dtype)

    def codegen(context, builder, signature, args):
        bits = vec.dtype.bitwidth
        at = context.cast(builder, args[1], signature.args[1], types.intp)
        lanes = cgutils.create_struct_proxy(signature.args[2])(context, builder, args[2]).data
        chosen = builder.load(builder.bitcast(lanes, ir.VectorType(ir.IntType(64), vec.lanes).as_pointer()), align=8)
        chosen = chosen if bits == 64 else builder.trunc(chosen, ir.VectorType(ir.IntType(32), vec.lanes))
        if permutes():
            group = builder.load(_address(context, builder, signature.args[0], args[0], at, vec), align=bits // 8)
            return _from_two(builder, group, group, chosen, vec)
        return _lane_by_lane(context, builder, signature.args[0], args[0], at, chosen, vec)

    return vec(array, index, whose), codegen


def fit(function, bounds, pieces, terms):
    """(functions, terms, pieces) Chebyshev interpolation of (functions, n) values of (n,) numbers in equal pieces, highest power first.

    In x of a width of 1 around the middle of each piece, as ``interval`` gives it and ``piecewise`` takes it.
    """
    width = (bounds[1] - bounds[0]) / pieces
    points = np.cos(np.pi * (np.arange(terms) + 0.5) / terms)
    middles = bounds[0] + width * (np.arange(pieces) + 0.5)
    values = function((middles[:, None] + 0.5 * width * points).ravel()).reshape(-1, pieces, terms)
    return np.einsum("kt,fpt->fkp", np.linalg.inv(np.vander(0.5 * points, terms)), values)


@intrinsic
def together(typing_context, a, b):
    """Two vectors of float64 as one of float32: the first one's lanes, then the second one's."""
    vec = Vec(types.float32)

    def codegen(context, builder, signature, args):
        narrow = ir.VectorType(ir.FloatType(), vec.lanes // 2)
        order = ir.Constant(ir.VectorType(ir.IntType(32), vec.lanes), list(range(vec.lanes)))
        return builder.shuffle_vector(*(builder.fptrunc(one, narrow) for one in args), order)

    return vec(a, b), codegen


@intrinsic
def apart(typing_context, x):
    """The two vectors of float64 that ``together`` made one of."""
    vec = Vec(types.float64)
    pair = types.UniTuple(vec, 2)

    def codegen(context, builder, signature, args):
        def half(first):
            order = ir.Constant(ir.VectorType(ir.IntType(32), vec.lanes), list(range(first, first + vec.lanes)))
            return builder.fpext(builder.shuffle_vector(args[0], args[0], order), _vector(vec))

        return context.make_tuple(builder, pair, (half(0), half(vec.lanes)))

    return pair(x), codegen
