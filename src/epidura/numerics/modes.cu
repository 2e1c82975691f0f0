// Sparse LDLᵀ of K + λ M for every axial mode λ on a graphics processor: one block of threads for BATCH modes, the values of
// the modes innermost, so that the threads of neighbouring modes read neighbouring numbers.
//
// The same numbers as ldlt.py, which says what the plan is, but for the order of sums. Panels that do not need each other (a
// level of the elimination tree) are eliminated at the same time, a warp each, while there are many of them; the whole block
// shares the others, one after another: these are the large ones near the root.
//
// Compiled with -DBATCH=... (modes of a block, a divisor of 32) and -DTHREADS=... (of a block, a multiple of 32). With
// -DEPIDURA_HOST a C++ compiler makes ordinary functions of the kernels, for tests without a graphics processor; with
// -DEPIDURA_BACKWARDS too they go through the threads from the last to the first: no number may depend on that.

#ifndef BATCH
#define BATCH 4
#endif
#ifndef THREADS
#define THREADS 256
#endif

constexpr int WARP = 32, WARPS = THREADS / WARP;
constexpr int BLOCKED = 4;  // entries of a row that a thread updates at a time
static_assert(WARP % BATCH == 0 && THREADS % WARP == 0, "a warp holds whole groups of modes, a block holds whole warps");

// ---- One text for both machines -----------------------------------------------------------------------------------------
// A Team is the whole block or a warp of it. TOGETHER(team) runs the statement after it once for each of its threads, as
// (worker, lane): the lane is the mode. Then the threads wait for each other, so what one of them wrote the others read in
// the next TOGETHER, never in the same. Everything outside is the same for all threads of a team.

#ifdef EPIDURA_HOST

#define DEVICE static inline
#define UNROLL
#ifdef EPIDURA_BACKWARDS
#define PLACE(i, count) ((count) - 1 - (i))
#else
#define PLACE(i, count) (i)
#endif
#define TOGETHER(team)                                                                                      \
    for (int turn = 0; turn < (team).SIZE; ++turn)                                                          \
        if (const int thread = PLACE(turn, (team).SIZE), lane = thread % BATCH, worker = thread / BATCH; true)
#define EACH_WARP for (int turn = 0; turn < WARPS; ++turn) if (const int warp = PLACE(turn, WARPS); true)

template <int THREADS_OF_IT> struct Team {
    static constexpr int SIZE = THREADS_OF_IT, WORKERS = SIZE / BATCH;
};

#else

#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define TOGETHER(team)                                                                                       \
    for (bool once = true; once; once = false, (team).meet())                                                \
        if (const int thread = threadIdx.x % (team).SIZE, lane = thread % BATCH, worker = thread / BATCH; true)
#define EACH_WARP for (bool go = true; go; go = false, __syncthreads()) if (const int warp = threadIdx.x / WARP; true)

template <int THREADS_OF_IT> struct Team {
    static constexpr int SIZE = THREADS_OF_IT, WORKERS = SIZE / BATCH;
    __device__ __forceinline__ void meet() const {
        if constexpr (SIZE == WARP && THREADS > WARP) __syncwarp();
        else __syncthreads();
    }
};

#endif

typedef Team<THREADS> Block;
typedef Team<WARP> Warp;

// ---- What the kernels are given -------------------------------------------------------------------------------------------

// By value. The order is that of `GIVEN` in modes_cuda.py.
struct Given {
    // the plan, as ldlt.Plan
    const int *column;        // (panels + 1)
    const int *row_start;     // (panels + 1)
    const int *rows;
    const int *panel_start;   // (panels + 1)
    const int *update_start;  // (panels + 1)
    const int *update;        // (updates, 3) panel, first row, last row + 1
    const int *where_start;   // (updates)
    const int *where;         // of each update: where its rows, from the first on, are among the rows of the changed panel
    const int *entry_at;      // (entries) place of an entry of the matrix in the factor
    const int *entry;         // (entries) place in the pattern
    const int *level_start;   // (levels + 1)
    const int *by_level;      // (panels) in the order of the levels
    // the matrices
    const double *stiffness, *mass;
    const double *eigenvalue;  // (modes)
    // the factors, lanes innermost: (blocks, groups, BATCH) and (blocks, size, BATCH)
    double *panels, *diagonal;
    // right-hand sides
    const double *loads;       // (modes from `first` on, given, columns), or null: those of the unit matrix
    const int *load_place;     // (given) in the elimination order, -1: left out
    const int *wanted_place;   // (wanted) in the elimination order, -1: zero
    double *x;                 // (blocks, size - bottom, columns, BATCH) in the elimination order
    double *values;            // (modes from `first` on, wanted, columns)
    int size, groups, entries, levels, panel_count;
    int modes;                 // of all
    int first;                 // mode of the first block
    int skipped;               // blocks whose factors stand before those of the first block
    int given, wanted, columns;
    int from_panel;            // first one that a load changes
    int to_panel;              // first one whose unknowns are wanted
    int bottom;                // first unknown of that one
};

// ---- Factors ----------------------------------------------------------------------------------------------------------------

// Eliminate one panel; those that change it are done.
template <class T> DEVICE void eliminate(const Given &g, double *panels, double *diagonal, int s, const T team) {
    const int c0 = g.column[s], width = g.column[s + 1] - c0, high = g.row_start[s + 1] - g.row_start[s];
    double *own = panels + (long long)g.panel_start[s] * BATCH, *pivot = diagonal + (long long)c0 * BATCH;
    for (int u = g.update_start[s]; u < g.update_start[s + 1]; ++u) {
        const int d = g.update[3 * u], p0 = g.update[3 * u + 1], across = g.update[3 * u + 2] - p0;
        const int w = g.column[d + 1] - g.column[d], many = g.row_start[d + 1] - g.row_start[d] - p0, groups = (across + BLOCKED - 1) / BLOCKED;
        const double *source = panels + ((long long)g.panel_start[d] + p0 * w) * BATCH, *scale = diagonal + (long long)g.column[d] * BATCH;
        const int *to = g.where + g.where_start[u];
        TOGETHER(team) {
            for (int task = worker; task < many * groups; task += T::WORKERS) {
                const int q = task / groups, p = BLOCKED * (task % groups), top = q + 1 < across ? q + 1 : across;
                if (p >= top) continue;  // above the diagonal
                const double *x = source + q * w * BATCH + lane;
                const double *f[BLOCKED];
                double sum[BLOCKED];
                UNROLL for (int i = 0; i < BLOCKED; ++i) {
                    f[i] = source + (p + i < top ? p + i : p) * w * BATCH + lane;
                    sum[i] = 0;
                }
                for (int k = 0; k < w; ++k) {
                    const double y = x[k * BATCH] * scale[k * BATCH + lane];
                    UNROLL for (int i = 0; i < BLOCKED; ++i) sum[i] += y * f[i][k * BATCH];
                }
                UNROLL for (int i = 0; i < BLOCKED; ++i)
                    if (p + i < top) own[(to[q] * width + to[p + i]) * BATCH + lane] -= sum[i];
            }
        }
    }
    // the square on the diagonal: below it L D for now
    for (int t = 0; t + 1 < width; ++t) {
        TOGETHER(team) {
            for (int q = t + 1 + worker; q < width; q += T::WORKERS) {
                const double x = own[(q * width + t) * BATCH + lane] / own[(t * width + t) * BATCH + lane];
                for (int k = t + 1; k <= q; ++k) own[(q * width + k) * BATCH + lane] -= x * own[(k * width + t) * BATCH + lane];
            }
        }
    }
    TOGETHER(team) {
        for (int t = worker; t < width; t += T::WORKERS) pivot[t * BATCH + lane] = own[(t * width + t) * BATCH + lane];
        for (int q = width + worker; q < high; q += T::WORKERS) {
            double *row = own + q * width * BATCH + lane;
            for (int t = 0; t < width; ++t) {
                const double *other = own + t * width * BATCH + lane;
                double x = row[t * BATCH];
                for (int k = 0; k < t; ++k) x -= row[k * BATCH] * other[k * BATCH];
                row[t * BATCH] = x / other[t * BATCH];
            }
        }
    }
    if (width > 1) {
        TOGETHER(team) {
            for (int q = 1 + worker; q < width; q += T::WORKERS)
                for (int t = 0; t < q; ++t) own[(q * width + t) * BATCH + lane] /= pivot[t * BATCH + lane];
        }
    }
}

DEVICE void factorise_block(const Given &g, int block) {
    double *panels = g.panels + (long long)block * g.groups * BATCH, *diagonal = g.diagonal + (long long)block * g.size * BATCH;
    const Block all{};
    TOGETHER(all) {
        for (int i = worker; i < g.groups; i += Block::WORKERS) panels[(long long)i * BATCH + lane] = 0;
    }
    TOGETHER(all) {
        const int mode = g.first + block * BATCH + lane;
        const double eigenvalue = g.eigenvalue[mode < g.modes ? mode : g.modes - 1];  // lanes without a mode repeat the last one
        for (int e = worker; e < g.entries; e += Block::WORKERS)
            panels[(long long)g.entry_at[e] * BATCH + lane] = g.stiffness[g.entry[e]] + eigenvalue * g.mass[g.entry[e]];
    }
    for (int level = 0; level < g.levels; ++level) {
        const int begin = g.level_start[level], end = g.level_start[level + 1];
        if (end - begin >= WARPS && WARPS > 1) {
            EACH_WARP for (int i = begin + warp; i < end; i += WARPS) eliminate(g, panels, diagonal, g.by_level[i], Warp{});
        } else {
            for (int i = begin; i < end; ++i) eliminate(g, panels, diagonal, g.by_level[i], all);
        }
    }
}

// ---- Right-hand sides ---------------------------------------------------------------------------------------------------------

// One panel of the solution with D Lᵀ less D; those that its rows belong to are done.
template <class T> DEVICE void backwards(const Given &g, const double *panels, double *x, int s, const T team) {
    const int c0 = g.column[s] - g.bottom, width = g.column[s + 1] - g.column[s], high = g.row_start[s + 1] - g.row_start[s], k = g.columns;
    const double *own = panels + (long long)g.panel_start[s] * BATCH;
    const int *rows = g.rows + g.row_start[s];
    TOGETHER(team) {
        for (int task = worker; task < width * k; task += T::WORKERS) {
            const int t = task / k, c = task % k;
            double sum = 0;
            for (int q = width; q < high; ++q)
                sum += own[(q * width + t) * BATCH + lane] * x[((long long)(rows[q] - g.bottom) * k + c) * BATCH + lane];
            x[((long long)(c0 + t) * k + c) * BATCH + lane] -= sum;
        }
    }
    if (width > 1) {
        TOGETHER(team) {
            for (int c = worker; c < k; c += T::WORKERS)
                for (int t = width - 2; t >= 0; --t) {
                    double value = x[((long long)(c0 + t) * k + c) * BATCH + lane];
                    for (int q = t + 1; q < width; ++q)
                        value -= own[(q * width + t) * BATCH + lane] * x[((long long)(c0 + q) * k + c) * BATCH + lane];
                    x[((long long)(c0 + t) * k + c) * BATCH + lane] = value;
                }
        }
    }
}

DEVICE void solve_block(const Given &g, int block) {
    const double *panels = g.panels + (long long)(g.skipped + block) * g.groups * BATCH;
    const double *diagonal = g.diagonal + (long long)(g.skipped + block) * g.size * BATCH;
    const int k = g.columns, tall = g.size - g.bottom, mode0 = g.first + block * BATCH;
    double *x = g.x + (long long)block * tall * k * BATCH;
    const Block all{};
    TOGETHER(all) {
        for (long long i = worker; i < (long long)tall * k; i += Block::WORKERS) x[i * BATCH + lane] = 0;
    }
    TOGETHER(all) {
        const int mode = (mode0 + lane < g.modes ? mode0 + lane : g.modes - 1) - g.first;
        for (int i = worker; i < g.given * k; i += Block::WORKERS) {
            const int r = i / k, c = i % k, place = g.load_place[r] - g.bottom;
            if (place >= 0) x[((long long)place * k + c) * BATCH + lane] = g.loads ? g.loads[((long long)mode * g.given + r) * k + c] : r == c;
        }
    }
    for (int s = g.from_panel; s < g.panel_count; ++s) {  // panels of a level may change the same unknowns: one after another
        const int c0 = g.column[s] - g.bottom, width = g.column[s + 1] - g.column[s], high = g.row_start[s + 1] - g.row_start[s];
        const double *own = panels + (long long)g.panel_start[s] * BATCH;
        const int *rows = g.rows + g.row_start[s];
        if (width > 1) {
            TOGETHER(all) {
                for (int c = worker; c < k; c += Block::WORKERS)
                    for (int q = 1; q < width; ++q) {
                        double value = x[((long long)(c0 + q) * k + c) * BATCH + lane];
                        for (int t = 0; t < q; ++t)
                            value -= own[(q * width + t) * BATCH + lane] * x[((long long)(c0 + t) * k + c) * BATCH + lane];
                        x[((long long)(c0 + q) * k + c) * BATCH + lane] = value;
                    }
            }
        }
        TOGETHER(all) {
            for (int task = worker; task < (high - width) * k; task += Block::WORKERS) {
                const int q = width + task / k, c = task % k;
                double sum = 0;
                for (int t = 0; t < width; ++t)
                    sum += own[(q * width + t) * BATCH + lane] * x[((long long)(c0 + t) * k + c) * BATCH + lane];
                x[((long long)(rows[q] - g.bottom) * k + c) * BATCH + lane] -= sum;
            }
        }
    }
    TOGETHER(all) {
        const int begin = g.column[g.from_panel] - g.bottom;
        for (long long i = (long long)begin * k + worker; i < (long long)tall * k; i += Block::WORKERS)
            x[i * BATCH + lane] /= diagonal[(g.bottom + i / k) * BATCH + lane];
    }
    for (int level = g.levels - 1; level >= 0; --level) {
        const int begin = g.level_start[level], end = g.level_start[level + 1];
        if (end - begin >= WARPS && WARPS > 1) {
            EACH_WARP for (int i = begin + warp; i < end; i += WARPS)
                if (g.by_level[i] >= g.to_panel) backwards(g, panels, x, g.by_level[i], Warp{});
        } else {
            for (int i = begin; i < end; ++i)
                if (g.by_level[i] >= g.to_panel) backwards(g, panels, x, g.by_level[i], all);
        }
    }
    TOGETHER(all) {
        if (mode0 + lane < g.modes) {
            for (int i = worker; i < g.wanted * k; i += Block::WORKERS) {
                const int r = i / k, c = i % k, place = g.wanted_place[r] - g.bottom;
                const double value = place < 0 ? 0.0 : x[((long long)place * k + c) * BATCH + lane];
                g.values[((long long)(block * BATCH + lane) * g.wanted + r) * k + c] = value;
            }
        }
    }
}

// ---- Kernels: one block per BATCH modes -----------------------------------------------------------------------------------------

#ifdef EPIDURA_HOST
#define KERNEL(name, body)                                           \
    extern "C" void name(const Given *given, int count) {            \
        for (int block = 0; block < count; ++block) body(*given, block); \
    }
extern "C" int size_of_given() { return sizeof(Given); }
#else
#define KERNEL(name, body)                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) name(const Given g) { \
        body(g, blockIdx.x);                                                       \
    }
#endif

KERNEL(factorise, factorise_block)
KERNEL(solve, solve_block)
