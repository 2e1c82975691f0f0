// The inner loops of the fibre engine for a graphics processor: one warp of 32 lanes per fibre, NODES_PER_LANE neighbouring
// nodes in each lane, the state of a run in registers from its first step to its last.
//
// The same numbers as cable_kernel.py, which says what they are: V = W + A U; `respond` finds the linear response U once,
// `simulate` steps W for one amplitude A. Three things differ. Each fibre has its warp to itself, so a run stops when its own
// fibre is decided. The rows of U of all parts are kept, not those of the last part. The tridiagonal system over the nodes is
// solved within the lanes first, then by parallel cyclic reduction across all 32 of them: five rounds, complete, hence exact.
//
// Units: mV, ms, 1/ms; voltages relative to rest and to the local outside potential. Gates are stored less their base.
// Arrays over nodes are WIDTH long, zero beyond the last node; the i-th internode, right of the i-th node, stands in its place.
//
// Compiled with -DREAL=float or double, -DNODES_PER_LANE=..., -DKEPT=... (modes of each parity with a memory, the most of any
// level). With -DEPIDURA_HOST a C++ compiler makes ordinary functions of the kernels, for tests without a graphics processor.

#ifndef REAL
#define REAL float
#endif
#ifndef NODES_PER_LANE
#define NODES_PER_LANE 2
#endif
#ifndef KEPT
#define KEPT 6
#endif

typedef REAL real;

constexpr int LANES = 32, NODES = NODES_PER_LANE, WIDTH = LANES * NODES;
constexpr int HALF = 10, MODES = 20;
constexpr int KINDS = 4;                        // of internodes: left end, middle, right end, none; of nodes: first, middle, last live one, none
constexpr int PASSIVE = 6, FULL = 6;            // numbers per mode, as in cable_kernel.py
constexpr int SUMS = 5 * KINDS + KINDS;         // five of each kind of internode, one of each kind of node
constexpr int STATE = 6 + 2 * KEPT;             // W, four gates, what the internodes give; even, then odd modes
constexpr int RESPONSE = 2 + MODES;             // U, what the internodes give; all modes
constexpr int DRIVE = 1 + MODES;                // of a node and of the modes of the internode to its right
constexpr double LEAD = 0.25;                   // of the first gate, as in cable_kernel.py
constexpr int BLOCK = 11, PART = 8;             // numbers of a block and of a part, see `Given`

// ---- One text for both machines -----------------------------------------------------------------------------------------
// A Lane<T> is a value of its own in every lane. FOR_LANES runs the block after it once per lane with `lane` set: on the device
// each thread is one lane, on the host it is a loop. Lanes see each other through `up`, `down` and `any` only, between blocks.

#ifdef EPIDURA_HOST

#include <cmath>
#define DEVICE static inline
#define SHARED static thread_local
#define UNROLL
#define FOR_LANES for (int lane = 0; lane < LANES; ++lane)

template <class T> struct Lane {
    T of[LANES];
    T &operator[](int lane) { return of[lane]; }
    const T &operator[](int lane) const { return of[lane]; }
};

// The value of the lane `by` below or above; a lane without one gets its own.
template <class T> DEVICE Lane<T> up(const Lane<T> &x, int by) {
    Lane<T> result;
    FOR_LANES result[lane] = x[lane < by ? lane : lane - by];
    return result;
}
template <class T> DEVICE Lane<T> down(const Lane<T> &x, int by) {
    Lane<T> result;
    FOR_LANES result[lane] = x[lane + by < LANES ? lane + by : lane];
    return result;
}
DEVICE bool any(const Lane<bool> &x) {
    bool result = false;
    FOR_LANES result |= x[lane];
    return result;
}
DEVICE void meet() {}

#else

#define DEVICE static __device__ __forceinline__
#define SHARED __shared__
#define UNROLL _Pragma("unroll")
#define FOR_LANES if (const int lane = threadIdx.x; true)

template <class T> struct Lane {
    T of;
    __device__ __forceinline__ T &operator[](int) { return of; }
    __device__ __forceinline__ const T &operator[](int) const { return of; }
};

template <class T> DEVICE Lane<T> up(const Lane<T> &x, int by) { return Lane<T>{__shfl_up_sync(0xffffffffu, x.of, by)}; }
template <class T> DEVICE Lane<T> down(const Lane<T> &x, int by) { return Lane<T>{__shfl_down_sync(0xffffffffu, x.of, by)}; }
DEVICE bool any(const Lane<bool> &x) { return __any_sync(0xffffffffu, x.of); }
DEVICE void meet() { __syncwarp(); }  // what one lane wrote to shared memory is seen by the others

#endif

#define FOR_NODES UNROLL for (int k = 0; k < NODES; ++k)

// In the precision of the run: a call by the other name would compute in double, or round to float.
DEVICE real exponential(real x) {
    if constexpr (sizeof(real) == sizeof(float)) return expf(x);
    else return exp(x);
}
DEVICE real exponential_less_one(real x) {
    if constexpr (sizeof(real) == sizeof(float)) return expm1f(x);
    else return expm1(x);
}
DEVICE real smaller(real a, real b) { return a < b ? a : b; }
DEVICE real larger(real a, real b) { return a > b ? a : b; }

// ---- What the kernels are given -------------------------------------------------------------------------------------------

struct Membrane {  // as kinetics.Mrg
    real g_naf, g_nap, g_k, g_l, e_na, e_k, e_l, q_m, q_h, q_s, rest, base_m, base_p, base_h, base_s, series;
};

// By value, so that its numbers stand in constant memory and need no registers. The order is that of `GIVEN` in cable_cuda.py.
struct Given {
    // runs
    const int *fibre;         // (runs) of each
    const real *amplitude;    // (runs) A
    int *fired;               // (runs)
    real *trace;              // (runs, rows) V at node `watch`
    // fibres
    const int *cable;         // (fibres)
    const int *detect;        // (fibres) node that must fire
    const real *drive;        // (fibres, patterns, DRIVE, WIDTH)
    const real *fixed_drive;  // (fibres, DRIVE, WIDTH) of what does not grow with the amplitude
    real *rows, *fixed_rows;  // (fibres, rows, WIDTH)
    real *response, *fixed_response;  // (fibres, folds, RESPONSE, WIDTH) at the end of the parts that are folded into W
    real *fine;               // (fibres, fine, WIDTH) scratch
    double *peaks;            // (fibres, 4)
    // different cables
    const real *start;        // (cables, STATE, WIDTH)
    const real *modes;        // (cables, levels, KINDS, KEPT, parity, 2): E - 1 and share F
    const real *sums;         // (cables, levels, SUMS)
    const real *full;         // (cables, levels, KINDS, MODES, FULL)
    const real *fast;         // (cables, levels, KINDS, 2): `static` of cable_kernel.py
    const real *passive_modes;  // (cables, tables, KINDS, MODES, PASSIVE)
    const real *passive_sums;   // (cables, tables, SUMS)
    // levels
    const int *kept;          // (levels, KINDS)
    const int *by;            // (levels) gate step with each step
    const real *per_step;     // (levels) 1/ms
    const real *gate_step;    // ms
    // course: of each block steps, level, level after, stop, first gate step, driven, where it begins in `mean` and `end`, in
    // `gate`, its fold or -1, first row of the trace, steps per row
    const int *block;         // (blocks, BLOCK)
    const int *mean, *end;    // row of U: its mean over each step, after each step
    const int *gate, *gate_row, *gate_by;
    // of each part: fine steps, where it begins in `table`, `push_row`, `push`, `begin`; its rows, the first of them; 2 fold + carries
    const int *part;          // (parts, PART)
    const int *table, *push_row;
    const real *push, *fixed;
    const int *begin, *index; // rows of U as weighted sums of fine points
    const real *weight;
    int nodes, first, last, levels, tables, patterns, blocks, parts, row_count, fine_count, folds, has_fixed, watch, trace_rows;
    real theta, rest_leak, fires, low, quiet;
    Membrane membrane;
};

// Of a warp: the coefficients of the level, and the last change of W.
struct Mode {
    real even, even_share, odd, odd_share;
};
struct Shared {
    alignas(4 * sizeof(real)) Mode modes[KINDS][KEPT];
    real sums[SUMS];
    real change[WIDTH];
};

DEVICE int internode_kind(const Given &g, int i) { return i >= g.nodes - 1 ? 3 : i == 0 ? 0 : i == g.nodes - 2 ? 2 : 1; }
DEVICE int node_kind(const Given &g, int i) { return i < g.first || i > g.last ? 3 : i == g.first ? 0 : i == g.last ? 2 : 1; }

// ---- The tridiagonal system -------------------------------------------------------------------------------------------------

// lower x(i-1) + diagonal x(i) + upper x(i+1) = x as given, over all WIDTH nodes; everything is overwritten. Within a lane all
// unknowns but the last are expressed by it and the last one of the lane before, then the 32 last ones are solved for.
DEVICE void solve(Lane<real> (&lower)[NODES], Lane<real> (&diagonal)[NODES], Lane<real> (&upper)[NODES], Lane<real> (&x)[NODES]) {
    constexpr int LAST = NODES - 1;
    FOR_LANES {
        UNROLL for (int k = 0; k < NODES; ++k) {
            if (k > 0) {
                diagonal[k][lane] -= lower[k][lane] * upper[k > 0 ? k - 1 : 0][lane];
                x[k][lane] -= lower[k][lane] * x[k > 0 ? k - 1 : 0][lane];
                lower[k][lane] *= -lower[k > 0 ? k - 1 : 0][lane];
            }
            if (k < LAST) {
                const real pivot = real(1) / diagonal[k][lane];
                lower[k][lane] *= pivot;
                upper[k][lane] *= pivot;
                x[k][lane] *= pivot;
            }
        }
        UNROLL for (int k = LAST - 2; k >= 0; --k) {
            x[k][lane] -= upper[k][lane] * x[k + 1][lane];
            lower[k][lane] -= upper[k][lane] * lower[k + 1][lane];
            upper[k][lane] *= -upper[k + 1][lane];
        }
    }
    if (NODES > 1) {
        const Lane<real> x_next = down(x[0], 1), lower_next = down(lower[0], 1), upper_next = down(upper[0], 1);
        FOR_LANES {
            diagonal[LAST][lane] -= upper[LAST][lane] * lower_next[lane];
            x[LAST][lane] -= upper[LAST][lane] * x_next[lane];
            upper[LAST][lane] *= -upper_next[lane];
        }
    }
    Lane<real> left, right, value;
    FOR_LANES {
        const real pivot = real(1) / diagonal[LAST][lane];
        left[lane] = lower[LAST][lane] * pivot;
        right[lane] = upper[LAST][lane] * pivot;
        value[lane] = x[LAST][lane] * pivot;
    }
    // A lane without a neighbour so far away has no coupling to it either: what it then gets, its own, is multiplied by 0.
    UNROLL for (int away = 1; away < LANES; away *= 2) {
        const Lane<real> left_of_left = up(left, away), right_of_left = up(right, away), value_left = up(value, away);
        const Lane<real> left_of_right = down(left, away), right_of_right = down(right, away), value_right = down(value, away);
        FOR_LANES {
            const real l = left[lane], r = right[lane];
            const real pivot = real(1) / (real(1) - l * right_of_left[lane] - r * left_of_right[lane]);
            value[lane] = (value[lane] - l * value_left[lane] - r * value_right[lane]) * pivot;
            left[lane] = -l * left_of_left[lane] * pivot;
            right[lane] = -r * right_of_right[lane] * pivot;
        }
    }
    const Lane<real> before = up(value, 1);
    FOR_LANES {
        UNROLL for (int k = 0; k < LAST; ++k) x[k][lane] -= lower[k][lane] * before[lane] + upper[k][lane] * value[lane];
        x[LAST][lane] = value[lane];
    }
}

// What the internode to the left of each lane's first node gives it: that of the lane before, none in the first lane.
DEVICE Lane<real> from_before(const Lane<real> &turned) {
    Lane<real> result = up(turned, 1);
    FOR_LANES if (lane == 0) result[lane] = real(0);
    return result;
}

// ---- Gates, as in kinetics.py -------------------------------------------------------------------------------------------------

struct Rate {  // numerator and denominator
    real over, under;
};

// x / (1 - exp(-x)); 1 at x = 0
DEVICE Rate linoid(real x, real scale) {
    x += real(1e-12);
    return {x * scale, -exponential_less_one(-x)};
}

// Gate less base after dt at both rates: the exact exponential; a polynomial where the step is so small that nothing is lost.
DEVICE real towards(real x, real base, Rate opening, Rate closing, real dt, bool series) {
    const real a = opening.over * closing.under, total = a + closing.over * opening.under, both = opening.under * closing.under;
    const real share = real(1) / (total * both), z = total * total * share * dt;
    real grow;
    if (series)
        grow = z * (1 - z * (real(1. / 2) - z * (real(1. / 6) - z * (real(1. / 24) - z * (real(1. / 120) - z * real(1. / 720))))));
    else
        grow = -exponential_less_one(-smaller(z, 80));
    return x + (a * both * share - base - x) * grow;
}

DEVICE void advance(const Membrane &c, real v, real dt, real &m, real &p, real &h, real &s) {
    const bool slow = dt <= c.series;
    v = smaller(larger(v, -150 - c.rest), 150 - c.rest);
    const Rate opens_m = linoid((v + (c.rest + real(21.4))) * real(1 / 10.3), c.q_m * real(1.86 * 10.3));
    const Rate closes_m = linoid((v + (c.rest + real(25.7))) * real(-1 / 9.16), c.q_m * real(0.086 * 9.16));
    m = towards(m, c.base_m, opens_m, closes_m, dt, false);
    const Rate opens_p = linoid((v + (c.rest + real(27.0))) * real(1 / 10.2), c.q_m * real(0.01 * 10.2));
    const Rate closes_p = linoid((v + (c.rest + real(34.0))) * real(-1 / 10.0), c.q_m * real(0.00025 * 10.0));
    p = towards(p, c.base_p, opens_p, closes_p, dt, slow);
    const Rate opens_h = linoid((v + (c.rest + real(114.0))) * real(-1 / 11.0), c.q_h * real(0.062 * 11.0));
    const Rate closes_h = {c.q_h * real(2.3), exponential((v + (c.rest + real(31.8))) * real(-1 / 13.4)) + 1};
    h = towards(h, c.base_h, opens_h, closes_h, dt, slow);
    const Rate opens_s = {c.q_s * real(0.3), exponential((v + (c.rest + real(53.0))) * real(-1 / 5.0)) + 1};
    // held between e^-20 and e^20, where the rate does not change any more, so that products stay in range
    const Rate closes_s = {c.q_s * real(0.03), exponential(larger(smaller(-(v + (c.rest + real(90.0))), 20), -20)) + 1};
    s = towards(s, c.base_s, opens_s, closes_s, dt, slow);
}

// ---- A run --------------------------------------------------------------------------------------------------------------------

struct State {
    Lane<real> w[NODES], m[NODES], p[NODES], h[NODES], s[NODES], give[NODES], even[NODES][KEPT], odd[NODES][KEPT];
    Lane<real> moved[NODES];  // by how much m moved last
};

DEVICE void begin_level(const Given &g, Shared &shared, int cable, int level) {
    const int at = cable * g.levels + level;
    const Mode *modes = reinterpret_cast<const Mode *>(g.modes) + at * KINDS * KEPT;
    meet();
    FOR_LANES {
        for (int i = lane; i < KINDS * KEPT; i += LANES) shared.modes[i / KEPT][i % KEPT] = modes[i];
        for (int i = lane; i < SUMS; i += LANES) shared.sums[i] = g.sums[at * SUMS + i];
    }
    meet();
}

// The state in the coefficients of another level; `shared.change` is that of W in the last step, for modes without a memory.
DEVICE void change_level(const Given &g, const Shared &shared, State &state, int cable, int level, int to) {
    const Lane<real> next = down(state.w[0], 1);
    Lane<real> turned[NODES];
    FOR_NODES FOR_LANES {
        const int node = lane * NODES + k, kind = internode_kind(g, node);
        const real *from = g.full + ((cable * g.levels + level) * KINDS + kind) * MODES * FULL;
        const real *onto = g.full + ((cable * g.levels + to) * KINDS + kind) * MODES * FULL;
        const real *fast = g.fast + ((cable * g.levels + to) * KINDS + kind) * 2;
        const int kept = g.kept[level * KINDS + kind], kept_then = g.kept[to * KINDS + kind];
        const real v = state.w[k][lane], v_right = k + 1 < NODES ? state.w[k + 1 < NODES ? k + 1 : 0][lane] : next[lane];
        const real more_left = shared.change[node], more_right = shared.change[node + 1 < WIDTH ? node + 1 : node];
        real out[2];
        UNROLL for (int parity = 0; parity < 2; ++parity) {
            const real both = parity ? v - v_right : v + v_right;
            const real before = both - (parity ? more_left - more_right : more_left + more_right);
            out[parity] = both * fast[parity];
            UNROLL for (int j = 0; j < HALF; ++j) {
                const real *c = from + (parity * HALF + j) * FULL, *d = onto + (parity * HALF + j) * FULL;
                real a = both * c[2];
                if (j < KEPT) {
                    real &own = (parity ? state.odd : state.even)[k][j < KEPT ? j : 0][lane];
                    a += j < kept ? own * c[0] : before * c[1];
                    if (j < kept_then) own = a * d[3] - both * d[4];
                } else {
                    a += before * c[1];
                }
                out[parity] += a * d[5];
            }
        }
        state.give[k][lane] = out[0] + out[1];
        turned[k][lane] = out[0] - out[1];
    }
    const Lane<real> carried = from_before(turned[NODES - 1]);
    FOR_NODES FOR_LANES state.give[k][lane] += k > 0 ? turned[k > 0 ? k - 1 : 0][lane] : carried[lane];
}

// W += amplitude U, with everything that the coming steps of this level remember of it.
DEVICE void fold(const Given &g, State &state, int cable, int level, const real *response, real amplitude) {
    FOR_NODES FOR_LANES {
        const int node = lane * NODES + k, kind = internode_kind(g, node);
        const real *full = g.full + ((cable * g.levels + level) * KINDS + kind) * MODES * FULL;
        const int kept = g.kept[level * KINDS + kind];
        const real left = response[node], right = node + 1 < WIDTH ? response[node + 1] : 0;
        state.w[k][lane] += amplitude * left;
        state.give[k][lane] += amplitude * response[WIDTH + node];
        UNROLL for (int j = 0; j < KEPT && j < HALF; ++j) {
            const real *c = full + j * FULL, *d = c + HALF * FULL, *a = response + (2 + j) * WIDTH + node;
            if (j < kept) {
                state.even[k][j][lane] += amplitude * (a[0] * c[3] - (left + right) * c[4]);
                state.odd[k][j][lane] += amplitude * (a[HALF * WIDTH] * d[3] - (left - right) * d[4]);
            }
        }
    }
}

template <bool TRACED> DEVICE void run(const Given &g, int which, Shared &shared) {
    const int fibre = g.fibre[which], cable = g.cable[fibre], detect = g.detect[fibre];
    const real amplitude = g.amplitude[which];
    const long long at_rows = (long long)fibre * g.row_count * WIDTH;
    const real *rows = g.rows + at_rows, *fixed = g.fixed_rows + (g.has_fixed ? at_rows : 0);
    const Membrane &c = g.membrane;
    State state;
    const real *start = g.start + (long long)cable * STATE * WIDTH;
    FOR_NODES FOR_LANES {
        const real *own = start + lane * NODES + k;
        state.w[k][lane] = own[0];
        state.m[k][lane] = own[WIDTH];
        state.p[k][lane] = own[2 * WIDTH];
        state.h[k][lane] = own[3 * WIDTH];
        state.s[k][lane] = own[4 * WIDTH];
        state.give[k][lane] = own[5 * WIDTH];
        state.moved[k][lane] = 0;
        UNROLL for (int j = 0; j < KEPT; ++j) {
            state.even[k][j][lane] = own[(6 + j) * WIDTH];
            state.odd[k][j][lane] = own[(6 + KEPT + j) * WIDTH];
        }
    }
    bool fired = false, over = false;
    int resident = -1;
    for (int b = 0; b < g.blocks && !over; ++b) {
        const int *block = g.block + b * BLOCK;
        const int steps = block[0], level = block[1], after = block[2], stop = TRACED ? 0 : block[3], first_by = block[4];
        const bool driven = block[5] != 0;
        const int *mean = g.mean + block[6], *end = g.end + block[6], *gate = g.gate + block[7];
        if (level != resident) begin_level(g, shared, cable, level);
        resident = level;
        const real per_step = g.per_step[level];
        const int at_once = g.by[level];
        // Every kind of internode steps as many modes as the one with the most: the others' have a share of 0.
        int kept = 0;
        for (int kind = 0; kind < KINDS; ++kind) kept = g.kept[level * KINDS + kind] > kept ? g.kept[level * KINDS + kind] : kept;
        for (int step = 0; step < steps && !over; ++step) {
            // the gates follow V up to this step; of a trapezoidal step the first one leads, as in cable_kernel.run
            Lane<real> before[NODES], lead[NODES];
            const int first_piece = driven ? gate[step] : 0, last_piece = driven ? gate[step + 1] : 1;
            for (int piece = first_piece; piece < last_piece; ++piece) {
                const real dt = g.gate_step[step == 0 && piece == first_piece ? first_by : driven ? g.gate_by[piece] : at_once];
                const long long row = driven ? (long long)g.gate_row[piece] * WIDTH : 0;
                FOR_NODES FOR_LANES {
                    real v = state.w[k][lane];
                    if (piece == first_piece) before[k][lane] = state.m[k][lane];
                    if (driven) v += amplitude * rows[row + lane * NODES + k];
                    if (driven && g.has_fixed) v += fixed[row + lane * NODES + k];
                    advance(c, v, dt, state.m[k][lane], state.p[k][lane], state.h[k][lane], state.s[k][lane]);
                }
            }
            FOR_NODES FOR_LANES {
                const real moves = state.m[k][lane] - before[k][lane];
                const bool leads = g.theta != real(1) && step > 0 && last_piece - first_piece == 1;
                lead[k][lane] = leads ? (moves - state.moved[k][lane]) * real(LEAD) : real(0);
                state.moved[k][lane] = moves;
            }
            // the nodes, for the change of W
            Lane<real> lower[NODES], diagonal[NODES], upper[NODES], change[NODES];
            const long long row = driven ? (long long)mean[step] * WIDTH : 0;
            FOR_NODES FOR_LANES {
                const int node = lane * NODES + k, kind = node_kind(g, node);
                const real m = state.m[k][lane] + lead[k][lane] + c.base_m, p = state.p[k][lane] + c.base_p;
                const real h = state.h[k][lane] + c.base_h, s = state.s[k][lane] + c.base_s;
                const real sodium = m * m * m * h * c.g_naf + p * p * p * c.g_nap, potassium = s * c.g_k, all = sodium + potassium + c.g_l;
                const real pull = sodium * c.e_na + potassium * c.e_k + c.g_l * c.e_l;
                real rhs = pull - all * state.w[k][lane] + state.give[k][lane];
                if (driven) {
                    real u = amplitude * rows[row + node];
                    if (g.has_fixed) u += fixed[row + node];
                    rhs -= (all - g.rest_leak) * u;
                }
                lower[k][lane] = node == 0 ? real(0) : -shared.sums[5 * internode_kind(g, node - 1)];
                upper[k][lane] = -shared.sums[5 * internode_kind(g, node)];
                diagonal[k][lane] = kind == 3 ? real(1) : all * g.theta + per_step + shared.sums[5 * KINDS + kind];
                change[k][lane] = kind == 3 ? real(0) : rhs;
            }
            solve(lower, diagonal, upper, change);
            FOR_NODES FOR_LANES state.w[k][lane] += change[k][lane];
            // the internodes
            const Lane<real> w_next = down(state.w[0], 1), change_next = down(change[0], 1);
            Lane<real> turned[NODES];
            FOR_NODES FOR_LANES {
                const int kind = internode_kind(g, lane * NODES + k);
                const real *sums = shared.sums + 5 * kind;
                const real v = state.w[k][lane], v_right = k + 1 < NODES ? state.w[k + 1 < NODES ? k + 1 : 0][lane] : w_next[lane];
                const real more = change[k][lane], more_right = k + 1 < NODES ? change[k + 1 < NODES ? k + 1 : 0][lane] : change_next[lane];
                const real even = v + v_right, odd = v - v_right, even_more = more + more_right, odd_more = more - more_right;
                const real even_old = even - even_more, odd_old = odd - odd_more;
                real even_sum = even * sums[1] + even_more * sums[3], odd_sum = odd * sums[2] + odd_more * sums[4];
                UNROLL for (int j = 0; j < KEPT; ++j) {
                    if (j < kept) {
                        const Mode mode = shared.modes[kind][j];
                        real &a = state.even[k][j][lane], &b = state.odd[k][j][lane];
                        a += a * mode.even + even_old;
                        b += b * mode.odd + odd_old;
                        even_sum += a * mode.even_share;
                        odd_sum += b * mode.odd_share;
                    }
                }
                state.give[k][lane] = even_sum + odd_sum;
                turned[k][lane] = even_sum - odd_sum;
            }
            const Lane<real> carried = from_before(turned[NODES - 1]);
            FOR_NODES FOR_LANES state.give[k][lane] += k > 0 ? turned[k > 0 ? k - 1 : 0][lane] : carried[lane];
            // what has happened
            const long long end_row = driven ? (long long)end[step] * WIDTH : 0;
            Lane<bool> fires, busy;
            FOR_LANES fires[lane] = busy[lane] = false;
            FOR_NODES FOR_LANES {
                const int node = lane * NODES + k;
                const real w = state.w[k][lane];
                if (node == detect || (TRACED && node == g.watch)) {
                    real v = w;
                    if (driven) v += amplitude * rows[end_row + node];
                    if (driven && g.has_fixed) v += fixed[end_row + node];
                    if (node == detect) fires[lane] = v >= g.fires;
                    if (TRACED && node == g.watch && (step + 1) % block[10] == 0)
                        g.trace[(long long)which * g.trace_rows + block[9] + step / block[10]] = v;
                }
                busy[lane] = busy[lane] || (node_kind(g, node) != 3 && !(w >= g.low && w < g.quiet));
            }
            fired = fired || any(fires);
            // in a calm recharge a run goes on here (3): a fibre has its warp to itself, and would save less than sixteen lanes
            over = (stop > 0 && fired) || (stop == 2 && !any(busy));
            if (step == steps - 1) FOR_NODES FOR_LANES shared.change[lane * NODES + k] = change[k][lane];
        }
        meet();
        if (over) continue;
        if (after != level) change_level(g, shared, state, cable, level, after);
        if (block[8] >= 0) {
            const long long at = ((long long)fibre * g.folds + block[8]) * RESPONSE * WIDTH;
            fold(g, state, cable, after, g.response + at, amplitude);
            if (g.has_fixed) fold(g, state, cable, after, g.fixed_response + at, real(1));
        }
    }
    FOR_LANES if (lane == 0) g.fired[which] = fired;
}

// ---- The linear response --------------------------------------------------------------------------------------------------------

// Of one fibre, in fine steps, to all its patterns or to what does not grow with the amplitude: rows of all parts, and the whole
// response where it is folded into W.
DEVICE void passive(const Given &g, int fibre, const real *drive, int patterns, const real *courses, real *rows, real *responses) {
    const int cable = g.cable[fibre];
    real *fine = g.fine + (long long)fibre * g.fine_count * WIDTH;
    Lane<real> u[NODES], give[NODES], modes[NODES][MODES];
    for (int number = 0; number < g.parts; ++number) {
        const int *part = g.part + number * PART;
        const int steps = part[0], count = part[5], first_row = part[6], to = part[7] >> 1;
        const int *table = g.table + part[1], *push_row = g.push_row + part[2], *begin = g.begin + part[4];
        const real *push = courses + (long long)part[3] * patterns;
        if (!(part[7] & 1)) {
            FOR_NODES FOR_LANES {
                u[k][lane] = give[k][lane] = 0;
                for (int j = 0; j < MODES; ++j) modes[k][j][lane] = 0;
            }
        }
        FOR_NODES FOR_LANES fine[lane * NODES + k] = u[k][lane];
        for (int step = 0; step < steps; ++step) {
            const real *coefficients = g.passive_modes + (cable * g.tables + table[step]) * KINDS * MODES * PASSIVE;
            const real *coefficients_then = g.passive_modes + (cable * g.tables + table[step + 1]) * KINDS * MODES * PASSIVE;
            const real *sums = g.passive_sums + (cable * g.tables + table[step]) * SUMS;
            const real *sums_then = g.passive_sums + (cable * g.tables + table[step + 1]) * SUMS;
            const real *pushed = push + push_row[step] * patterns;
            // what the drive gives through the internodes within this step
            Lane<real> turned[NODES], lower[NODES], diagonal[NODES], upper[NODES], change[NODES];
            FOR_NODES FOR_LANES turned[k][lane] = 0;
            for (int pattern = 0; pattern < patterns; ++pattern) {
                const real by = pushed[pattern];
                if (by == 0) continue;
                FOR_NODES FOR_LANES {
                    const int node = lane * NODES + k;
                    const real *q = drive + (pattern * DRIVE + 1) * WIDTH + node, *c = coefficients + internode_kind(g, node) * MODES * PASSIVE + 5;
                    real even = 0, odd = 0;
                    for (int j = 0; j < HALF; ++j) {
                        even += q[j * WIDTH] * c[j * PASSIVE];
                        odd += q[(HALF + j) * WIDTH] * c[(HALF + j) * PASSIVE];
                    }
                    give[k][lane] += (even + odd) * by;
                    turned[k][lane] += (even - odd) * by;
                }
            }
            Lane<real> carried = from_before(turned[NODES - 1]);
            FOR_NODES FOR_LANES {
                const int node = lane * NODES + k, kind = node_kind(g, node);
                real rhs = give[k][lane] + (k > 0 ? turned[k > 0 ? k - 1 : 0][lane] : carried[lane]) - u[k][lane] * g.rest_leak;
                for (int pattern = 0; pattern < patterns; ++pattern) rhs += drive[pattern * DRIVE * WIDTH + node] * pushed[pattern];
                lower[k][lane] = node == 0 ? real(0) : -sums[5 * internode_kind(g, node - 1)];
                upper[k][lane] = -sums[5 * internode_kind(g, node)];
                diagonal[k][lane] = kind == 3 ? real(1) : sums[5 * KINDS + kind];
                change[k][lane] = kind == 3 ? real(0) : rhs;
            }
            solve(lower, diagonal, upper, change);
            FOR_NODES FOR_LANES u[k][lane] += change[k][lane];
            const Lane<real> u_next = down(u[0], 1), change_next = down(change[0], 1);
            FOR_NODES FOR_LANES {
                const int node = lane * NODES + k, kind = internode_kind(g, node);
                const real v = u[k][lane], v_right = k + 1 < NODES ? u[k + 1 < NODES ? k + 1 : 0][lane] : u_next[lane];
                const real more = change[k][lane], more_right = k + 1 < NODES ? change[k + 1 < NODES ? k + 1 : 0][lane] : change_next[lane];
                real out[2];
                for (int parity = 0; parity < 2; ++parity) {
                    const real both = parity ? v - v_right : v + v_right, old = both - (parity ? more - more_right : more + more_right);
                    out[parity] = both * sums_then[5 * kind + 1 + parity];
                    for (int j = parity * HALF; j < (parity + 1) * HALF; ++j) {
                        const real *c = coefficients + (kind * MODES + j) * PASSIVE;
                        const real a = modes[k][j][lane];
                        real grow = a * c[0] + old * c[1] + both * c[2];
                        for (int pattern = 0; pattern < patterns; ++pattern)
                            grow += drive[(pattern * DRIVE + 1 + j) * WIDTH + node] * c[4] * pushed[pattern];
                        modes[k][j][lane] = a + grow;
                        out[parity] += (a + grow) * coefficients_then[(kind * MODES + j) * PASSIVE + 3];
                    }
                }
                give[k][lane] = out[0] + out[1];
                turned[k][lane] = out[0] - out[1];
            }
            carried = from_before(turned[NODES - 1]);
            FOR_NODES FOR_LANES {
                give[k][lane] += k > 0 ? turned[k > 0 ? k - 1 : 0][lane] : carried[lane];
                fine[(step + 1) * WIDTH + lane * NODES + k] = u[k][lane];
            }
        }
        // every lane wrote the fine points of its own nodes itself
        for (int row = 0; row < count; ++row)
            FOR_NODES FOR_LANES {
                real total = 0;
                for (int i = begin[row]; i < begin[row + 1]; ++i) total += fine[g.index[i] * WIDTH + lane * NODES + k] * g.weight[i];
                rows[(long long)(first_row + row) * WIDTH + lane * NODES + k] = total;
            }
        if (to >= 0) {
            real *response = responses + (long long)to * RESPONSE * WIDTH;
            FOR_NODES FOR_LANES {
                real *own = response + lane * NODES + k;
                own[0] = u[k][lane];
                own[WIDTH] = give[k][lane];
                for (int j = 0; j < MODES; ++j) own[(2 + j) * WIDTH] = modes[k][j][lane];
            }
        }
    }
}

DEVICE void both_responses(const Given &g, int fibre) {
    const long long row = (long long)fibre * g.row_count * WIDTH, whole = (long long)fibre * g.folds * RESPONSE * WIDTH;
    passive(g, fibre, g.drive + (long long)fibre * g.patterns * DRIVE * WIDTH, g.patterns, g.push, g.rows + row, g.response + whole);
    if (g.has_fixed)
        passive(g, fibre, g.fixed_drive + (long long)fibre * DRIVE * WIDTH, 1, g.fixed, g.fixed_rows + row, g.fixed_response + whole);
}

// Highest linear depolarisation of a node in the first stretch of driven parts, until it is calm, and at the same time the means of its
// neighbours and of theirs, mV per ampere.
DEVICE void highest(const Given &g, int fibre) {
    const real *rows = g.rows + (long long)fibre * g.row_count * WIDTH;
    Lane<real> best;
    Lane<int> where, place;
    FOR_LANES {
        best[lane] = 0;
        where[lane] = place[lane] = 0;
    }
    for (int b = 0; b < g.blocks; ++b) {
        const int *block = g.block + b * BLOCK;
        if (!block[5]) continue;
        if (block[3] == 3) break;
        for (int step = 0; step < block[0]; ++step) {
            const int row = g.end[block[6] + step];
            FOR_NODES FOR_LANES {
                const int node = lane * NODES + k;
                const real u = rows[(long long)row * WIDTH + node];
                if (node >= g.first && node <= g.last && u > best[lane]) {
                    best[lane] = u;
                    where[lane] = row;
                    place[lane] = node;
                }
            }
        }
        if (block[8] >= 0) break;
    }
    for (int away = 1; away < LANES; away *= 2) {  // the first lane ends up with the highest of all
        const Lane<real> other = down(best, away);
        const Lane<int> other_where = down(where, away), other_place = down(place, away);
        FOR_LANES if (other[lane] > best[lane]) {
            best[lane] = other[lane];
            where[lane] = other_where[lane];
            place[lane] = other_place[lane];
        }
    }
    FOR_LANES if (lane == 0) {
        double *result = g.peaks + 4 * fibre;
        result[0] = best[lane];
        for (int away = 1; away < 3; ++away) {
            const int left = place[lane] - away > g.first ? place[lane] - away : g.first;
            const int right = place[lane] + away < g.last ? place[lane] + away : g.last;
            const real *row = rows + (long long)where[lane] * WIDTH;
            result[away] = best[lane] > 0 ? 0.5 * (row[left] + row[right]) : 0.0;
            if (away == 1) result[3] = best[lane] > 0 ? 0.5 * fabs((double)(row[right] - row[left])) : 0.0;
        }
    }
}

// ---- Kernels: one warp, and on the device one block, per run or fibre -------------------------------------------------------------

#ifdef EPIDURA_HOST
#define KERNEL(name, body)                                                    \
    extern "C" void name(const Given *given, int count) {                     \
        const Given &g = *given;                                              \
        for (int which = 0; which < count; ++which) { body }                  \
    }
extern "C" int size_of_given() { return sizeof(Given); }
// One system over WIDTH nodes, for the tests: a fibre's own, with its large diagonal, would not show a missing round.
extern "C" void solve_one(real *lower, real *diagonal, real *upper, real *x) {
    Lane<real> l[NODES], d[NODES], u[NODES], y[NODES];
    FOR_NODES FOR_LANES {
        const int node = lane * NODES + k;
        l[k][lane] = lower[node];
        d[k][lane] = diagonal[node];
        u[k][lane] = upper[node];
        y[k][lane] = x[node];
    }
    solve(l, d, u, y);
    FOR_NODES FOR_LANES x[lane * NODES + k] = y[k][lane];
}
#else
#define KERNEL(name, body)                                                    \
    extern "C" __global__ void __launch_bounds__(LANES) name(const Given g) { \
        const int which = blockIdx.x;                                         \
        body                                                                  \
    }
#endif

KERNEL(respond, both_responses(g, which);)
KERNEL(find_peaks, highest(g, which);)
KERNEL(simulate, SHARED Shared shared; run<false>(g, which, shared);)
KERNEL(trace_runs, SHARED Shared shared; run<true>(g, which, shared);)
