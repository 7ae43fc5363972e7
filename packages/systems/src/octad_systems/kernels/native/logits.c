/* The loss of rows of logits and its gradient, written over them: what no library does in one visit.

   loss = log of the sum over j of e^c[j], less c[target];   c = cap(z) = softcap tanh(z / softcap), or z itself;
   dz[j] = scale (e^c[j] / sum - (j is the target)) (1 - (c[j] / softcap)^2).

   A row is read once and written once; in between it is in a core's own cache, with one exponential a logit. Logits are float32, or bfloat16 that is widened on the way in and rounded to even on the way out. */

#include "vectors.h"

typedef uint32_t words __attribute__((vector_size(BYTES)));
typedef uint16_t halves __attribute__((vector_size(BYTES / 2)));

enum { FLOAT32, BFLOAT16 };

static inline long size_of(int type) { return type == BFLOAT16 ? 2 : 4; }

static inline vector widened(halves x) { return (vector)(__builtin_convertvector(x, words) << 16); }

static inline halves rounded(vector x) {
    words bits = (words)x;
    return __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
}

/* `count` <= LANES numbers; where they are fewer, -inf follows. */
static inline vector read(const char *from, long count, int type) {
    vector whole = splat(-INFINITY);
    halves half = rounded(whole);
    memcpy(type == BFLOAT16 ? (void *)&half : (void *)&whole, from, count * size_of(type));
    return type == BFLOAT16 ? widened(half) : whole;
}

static inline void write(char *to, long count, int type, vector x) {
    halves half = rounded(x);
    memcpy(to, type == BFLOAT16 ? (void *)&half : (void *)&x, count * size_of(type));
}

/* tanh(x) = 1 - 2 / (e^2x + 1), within 2e-7; from |x| = 20 on it is +-1. */
static inline vector hyperbolic_tangent(vector x) {
    vector limited = -larger(splat(-20), -larger(splat(-20), x)); /* NaN stays, as the second of two */
    return 1 - 2 / (power_of_2(limited * (2 * LOG2_E)) + 1);
}

/* weights and bent: room for the row in whole vectors. */
static inline float row_to_gradient(char *row, long target, long vocab, float scale, float softcap, int type,
                                    float *weights, float *bent) {
    long size = size_of(type), whole = vocab / LANES * LANES, rest = vocab - whole, room = whole + (rest ? LANES : 0);
    vector high = splat(-INFINITY), sums = splat(0);
    for (long j = 0; j < whole; j += LANES) store(weights + j, read(row + j * size, LANES, type));
    if (rest) store(weights + whole, read(row + whole * size, rest, type));
    if (softcap > 0) {
        for (long j = 0; j < room; j += LANES) {
            store(bent + j, hyperbolic_tangent(load(weights + j) * (1 / softcap)));
            store(weights + j, softcap * load(bent + j));
        }
        for (long j = vocab; j < room; j++) weights[j] = -INFINITY;
    }
    for (long j = 0; j < room; j += LANES) high = larger(high, load(weights + j));
    float own = weights[target], most = high[0], total = 0;
    for (int lane = 1; lane < LANES; lane++) most = high[lane] > most ? high[lane] : most;
    for (long j = 0; j < room; j += LANES) {
        vector weight = power_of_2((load(weights + j) - most) * LOG2_E);
        store(weights + j, weight);
        sums += weight;
    }
    for (int lane = 0; lane < LANES; lane++) total += sums[lane];
    float factor = scale / total;
    weights[target] -= total;
    for (long j = 0; j < room; j += LANES) {
        vector gradient = load(weights + j) * factor;
        if (softcap > 0) gradient *= 1 - load(bent + j) * load(bent + j);
        if (j < whole) write(row + j * size, LANES, type, gradient);
        else write(row + j * size, rest, type, gradient);
    }
    return most + logf(total) - own;
}

/* logits (rows, vocab) is contiguous; softcap 0 is none; losses has a number for each row. 0, or 1 without memory. */
int logits_to_gradient(void *logits, int type, const int64_t *targets, long rows, long vocab, float scale, float softcap,
                       float *losses, int threads) {
    long room = up_to(vocab, LANES);
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *weights = aligned_alloc(BYTES, 2 * room * sizeof(float)), *bent = weights + room;
        if (weights == NULL) failed = 1;
#pragma omp for
        for (long i = 0; i < rows; i++) {
            if (weights == NULL) continue;
            char *row = (char *)logits + i * vocab * size_of(type);
            losses[i] = type == BFLOAT16
                            ? row_to_gradient(row, targets[i], vocab, scale, softcap, BFLOAT16, weights, bent)
                            : row_to_gradient(row, targets[i], vocab, scale, softcap, FLOAT32, weights, bent);
        }
        free(weights);
    }
    return failed;
}
