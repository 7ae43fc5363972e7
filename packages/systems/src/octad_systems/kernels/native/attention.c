/* Softmax attention within one input on the CPU, forward and backward, with the scores of a few queries at a time.

   mixed[i] = sum over seen j of p[i][j] v[j],   p[i][j] = 2^(s[i][j] - total[i]),
   s[i][j] = log2(e) scale q[i].k[j],   total[i] = log2 of the sum over seen j of 2^s[i][j].

   Query i sees the keys j with i - window < j <= i if causal, |i - j| < window else; so it sees at least its own.

   Backward, with g the gradient of mixed:
   dv = p' g,   ds = p (g v' - g.mixed),   dq = scale ds k,   dk = scale ds' q.

   The scores of a block of queries lie side by side, a row for each key: largest scores and sums are then those of
   vectors of queries, and nothing is added up within a vector. Heads are packed into rows of whole vectors, so that any
   width, length and layout goes. Source: Dao et al. 2022 (arXiv 2205.14135), algorithms 1 and 4, in base 2. */

#include "vectors.h"

enum { QUERIES = 32, KEYS = 256 }; /* of a block: its scores, 32 kB, stay in a core's own cache */

static const float HIDDEN = -1e30f; /* a score; finite, so that two of them have a difference */

typedef struct {
    long batch, heads, kv_heads, seq, width, value_width, window;
    float scale;
    int is_causal;
} shape;

typedef struct {
    const float *data;
    long batch, head, row; /* strides in numbers; channels are neighbours */
} tensor;

/* Numbers in a packed row of keys and of values, and packed rows of a head. */
static long key_room(const shape *s) { return up_to(s->width, COLUMNS); }
static long value_room(const shape *s) { return up_to(s->value_width, COLUMNS); }
static long slots(const shape *s) { return up_to(s->seq, ROWS); }

static const float *head_of(const tensor *t, long batch, long head) { return t->data + batch * t->batch + head * t->head; }

static long least(long a, long b) { return a < b ? a : b; }

/* The keys that some of `count` queries sees, from a multiple of ROWS on. */
static long first_key(const shape *s, long query) {
    long key = query - s->window + 1;
    return key < 0 ? 0 : key / ROWS * ROWS;
}
static long end_of_keys(const shape *s, long query, long count) {
    return least(s->seq, query + count + (s->is_causal ? 0 : s->window - 1));
}

/* Rows of `width` numbers into packed rows, times a factor; what else is in `rows` packed rows becomes 0. */
static void pack(const float *from, long row, float factor, long count, long width, float *to, long rows, long room) {
    for (long i = 0; i < count; i++) {
        for (long c = 0; c < width; c++) to[i * room + c] = factor * from[i * row + c];
        for (long c = width; c < room; c++) to[i * room + c] = 0;
    }
    memset(to + count * room, 0, (rows - count) * room * sizeof(float));
}

static void unpack(const float *from, long room, float factor, long count, long width, float *to, long row) {
    for (long i = 0; i < count; i++)
        for (long c = 0; c < width; c++) to[i * row + c] = factor * from[i * room + c];
}

/* A packed block of queries to (width, QUERIES). */
static void turn(const float *from, long room, long width, float *to) {
    for (long c = 0; c < width; c++)
        for (long i = 0; i < QUERIES; i++) to[c * QUERIES + i] = from[i * room + c];
}

/* Make the scores that a query does not see HIDDEN. */
static void hide(const shape *s, float *scores, long query, long first, long keys) {
    for (long key = first; key < first + keys; key++, scores += QUERIES) {
        long low = key - query - (s->is_causal ? 0 : s->window - 1); /* queries from here see the key ... */
        long high = key - query + s->window;                        /* ... up to here */
        if (key >= s->seq) low = QUERIES;
        for (long i = 0; i < least(low, QUERIES); i++) scores[i] = HIDDEN;
        for (long i = high < 0 ? 0 : high; i < QUERIES; i++) scores[i] = HIDDEN;
    }
}

/* Scores to weights 2^(score - most), with `most` the largest so far of each query and `total` the sum of its weights;
   `kept` is the factor of what was summed up under the last largest. */
static void weigh(float *scores, long keys, float *most, float *total, float *kept) {
    for (long i = 0; i < QUERIES; i += LANES) {
        vector high = load(most + i), sum = splat(0);
        for (long j = 0; j < keys; j++) high = larger(load(scores + j * QUERIES + i), high);
        for (long j = 0; j < keys; j++) {
            vector weight = power_of_2(load(scores + j * QUERIES + i) - high);
            store(scores + j * QUERIES + i, weight);
            sum += weight;
        }
        vector factor = power_of_2(load(most + i) - high);
        store(kept + i, factor);
        store(most + i, high);
        store(total + i, load(total + i) * factor + sum);
    }
}

typedef struct {
    float *k, *v, *dk, *dv;                           /* of a head of keys, packed */
    float *q, *q_turned, *g, *g_turned, *mixed, *dq;  /* of a block of queries */
    float *scores, *gradients;                        /* (KEYS, QUERIES) */
} buffers;

static void forward_head(const shape *s, const float *q, long q_row, float *mixed, long mixed_row, float *totals,
                         const buffers *a) {
    long width = key_room(s), values = value_room(s);
    for (long i = 0; i < s->seq; i += QUERIES) {
        long count = least(QUERIES, s->seq - i), end = end_of_keys(s, i, count);
        float most[QUERIES], total[QUERIES] = {0}, kept[QUERIES];
        for (long r = 0; r < QUERIES; r++) most[r] = HIDDEN;
        pack(q + i * q_row, q_row, s->scale * LOG2_E, count, s->width, a->q, QUERIES, width);
        turn(a->q, width, s->width, a->q_turned);
        for (long j = first_key(s, i); j < end; j += KEYS) {
            long keys = least(KEYS, up_to(end - j, ROWS));
            multiply(a->k + j * width, width, 1, a->q_turned, QUERIES, a->scores, QUERIES, keys, QUERIES, s->width, 0);
            hide(s, a->scores, i, j, keys);
            weigh(a->scores, keys, most, total, kept);
            int is_first = j == first_key(s, i);
            if (!is_first)
                for (long r = 0; r < QUERIES; r++)
                    for (long c = 0; c < values; c++) a->mixed[r * values + c] *= kept[r];
            multiply(a->scores, 1, QUERIES, a->v + j * values, values, a->mixed, values, QUERIES, values, keys, !is_first);
        }
        for (long r = 0; r < count; r++) {
            unpack(a->mixed + r * values, values, 1 / total[r], 1, s->value_width, mixed + (i + r) * mixed_row, 0);
            totals[i + r] = most[r] + log2f(total[r]);
        }
    }
}

/* Scores to weights, and the products of g and v to the gradients of the scores. */
static void through_softmax(float *scores, float *gradients, long keys, const float *total, const float *inner) {
    for (long i = 0; i < QUERIES; i += LANES)
        for (long j = i; j < i + keys * QUERIES; j += QUERIES) {
            vector weight = power_of_2(load(scores + j) - load(total + i));
            store(scores + j, weight);
            store(gradients + j, weight * (load(gradients + j) - load(inner + i)));
        }
}

static void backward_head(const shape *s, const float *q, long q_row, const float *g, long g_row, const float *mixed,
                          long mixed_row, const float *totals, float *dq, long dq_row, const buffers *a) {
    long width = key_room(s), values = value_room(s);
    for (long i = 0; i < s->seq; i += QUERIES) {
        long count = least(QUERIES, s->seq - i), end = end_of_keys(s, i, count);
        float total[QUERIES] = {0}, inner[QUERIES] = {0};
        pack(q + i * q_row, q_row, s->scale * LOG2_E, count, s->width, a->q, QUERIES, width);
        turn(a->q, width, s->width, a->q_turned);
        pack(g + i * g_row, g_row, 1, count, s->value_width, a->g, QUERIES, values);
        turn(a->g, values, s->value_width, a->g_turned);
        for (long r = 0; r < count; r++) {
            float product = 0;
#pragma omp simd reduction(+ : product)
            for (long c = 0; c < s->value_width; c++) product += a->g[r * values + c] * mixed[(i + r) * mixed_row + c];
            inner[r] = product, total[r] = totals[i + r];
        }
        for (long j = first_key(s, i); j < end; j += KEYS) {
            long keys = least(KEYS, up_to(end - j, ROWS));
            int is_first = j == first_key(s, i);
            multiply(a->k + j * width, width, 1, a->q_turned, QUERIES, a->scores, QUERIES, keys, QUERIES, s->width, 0);
            multiply(a->v + j * values, values, 1, a->g_turned, QUERIES, a->gradients, QUERIES, keys, QUERIES,
                     s->value_width, 0);
            hide(s, a->scores, i, j, keys);
            through_softmax(a->scores, a->gradients, keys, total, inner);
            multiply(a->scores, QUERIES, 1, a->g, values, a->dv + j * values, values, keys, values, count, 1);
            multiply(a->gradients, QUERIES, 1, a->q, width, a->dk + j * width, width, keys, width, count, 1);
            multiply(a->gradients, 1, QUERIES, a->k + j * width, width, a->dq, width, QUERIES, width, keys, !is_first);
        }
        unpack(a->dq, width, s->scale, count, s->width, dq + i * dq_row, dq_row);
    }
}

/* Room for all buffers in one piece of memory, or k = NULL. */
static buffers allocate(const shape *s) {
    long width = key_room(s), values = value_room(s);
    long head = slots(s), numbers = 2 * (head + 2 * QUERIES) * (width + values) + 2 * KEYS * QUERIES;
    float *next = aligned_alloc(BYTES, up_to(numbers * sizeof(float), BYTES));
    buffers a = {.k = next};
    if (next == NULL) return a;
    a.v = a.k + head * width, a.dk = a.v + head * values, a.dv = a.dk + head * width;
    a.q = a.dv + head * values, a.q_turned = a.q + QUERIES * width, a.dq = a.q_turned + QUERIES * width;
    a.g = a.dq + QUERIES * width, a.g_turned = a.g + QUERIES * values, a.mixed = a.g_turned + QUERIES * values;
    a.scores = a.mixed + QUERIES * values, a.gradients = a.scores + KEYS * QUERIES;
    return a;
}

static void pack_keys(const shape *s, const tensor *k, const tensor *v, long batch, long head, const buffers *a) {
    pack(head_of(k, batch, head), k->row, 1, s->seq, s->width, a->k, slots(s), key_room(s));
    pack(head_of(v, batch, head), v->row, 1, s->seq, s->value_width, a->v, slots(s), value_room(s));
}

/* mixed (batch, seq, heads, value_width) and totals (batch, heads, seq) are contiguous. 0, or 1 without memory. */
int attention_forward(const shape *s, const tensor *q, const tensor *k, const tensor *v, float *mixed, float *totals,
                      int threads) {
    long group = s->heads / s->kv_heads, mixed_row = s->heads * s->value_width;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        buffers a = allocate(s);
        if (a.k == NULL) failed = 1;
#pragma omp for collapse(2)
        for (long b = 0; b < s->batch; b++)
            for (long shared = 0; shared < s->kv_heads; shared++) {
                if (a.k == NULL) continue;
                pack_keys(s, k, v, b, shared, &a);
                for (long h = shared * group; h < (shared + 1) * group; h++)
                    forward_head(s, head_of(q, b, h), q->row, mixed + b * s->seq * mixed_row + h * s->value_width,
                                 mixed_row, totals + (b * s->heads + h) * s->seq, &a);
            }
        free(a.k);
    }
    return failed;
}

/* dq, dk and dv are contiguous (batch, seq, heads, width). 0, or 1 without memory. */
int attention_backward(const shape *s, const tensor *q, const tensor *k, const tensor *v, const tensor *g,
                       const float *mixed, const float *totals, float *dq, float *dk, float *dv, int threads) {
    long group = s->heads / s->kv_heads, mixed_row = s->heads * s->value_width, dq_row = s->heads * s->width;
    long dk_row = s->kv_heads * s->width, dv_row = s->kv_heads * s->value_width;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        buffers a = allocate(s);
        if (a.k == NULL) failed = 1;
#pragma omp for collapse(2)
        for (long b = 0; b < s->batch; b++)
            for (long shared = 0; shared < s->kv_heads; shared++) {
                if (a.k == NULL) continue;
                pack_keys(s, k, v, b, shared, &a);
                memset(a.dk, 0, slots(s) * (key_room(s) + value_room(s)) * sizeof(float));
                for (long h = shared * group; h < (shared + 1) * group; h++)
                    backward_head(s, head_of(q, b, h), q->row, head_of(g, b, h), g->row,
                                  mixed + b * s->seq * mixed_row + h * s->value_width, mixed_row,
                                  totals + (b * s->heads + h) * s->seq, dq + b * s->seq * dq_row + h * s->width, dq_row,
                                  &a);
                unpack(a.dk, key_room(s), LN_2, s->seq, s->width, dk + b * s->seq * dk_row + shared * s->width, dk_row);
                unpack(a.dv, value_room(s), 1, s->seq, s->value_width,
                       dv + b * s->seq * dv_row + shared * s->value_width, dv_row);
            }
        free(a.k);
    }
    return failed;
}
