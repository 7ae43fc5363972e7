/* Vectors as wide as the machine's registers, and the one matrix product that every kernel here is made of. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
enum { BYTES = 64, ROWS = 8 };
#elif defined(__AVX__)
enum { BYTES = 32, ROWS = 4 };
#else
enum { BYTES = 16, ROWS = 8 };
#endif

enum { LANES = BYTES / 4, COLUMNS = 2 * LANES }; /* a tile of ROWS x COLUMNS sums stays in registers */

typedef float vector __attribute__((vector_size(BYTES)));
typedef int32_t integers __attribute__((vector_size(BYTES)));
typedef float unaligned __attribute__((vector_size(BYTES), aligned(4), may_alias));

#define LOG2_E 1.44269504088896340736f
#define LN_2 0.69314718055994530942f

static inline vector splat(float x) { return x - (vector){0}; }

static inline vector load(const float *from) { return *(const unaligned *)from; }

static inline void store(float *to, vector x) { *(unaligned *)to = x; }

static inline vector larger(vector a, vector b) { return (vector)(((integers)a & (a > b)) | ((integers)b & ~(a > b))); }

/* 2^x within 2e-7 of it for x <= 127; 0 from -126 downwards; NaN stays NaN. */
static inline vector power_of_2(vector x) {
    const vector shift = splat(12582912.0f); /* 1.5 * 2^23: adding it leaves the nearest integer in the last bits */
    integers is_normal = x > splat(-126.0f), is_number = x == x;
    vector shifted = x + shift;
    vector f = x - (shifted - shift); /* within -1/2 .. 1/2 */
    vector y = splat(1.53535e-4f);
    y = y * f + 1.3398874e-3f;
    y = y * f + 9.6184373e-3f;
    y = y * f + 5.5503324e-2f;
    y = y * f + 2.4022648e-1f;
    y = y * f + 6.9314720e-1f;
    y = y * f + 1.0f;
    integers scaled = (integers)y + ((integers)shifted << 23); /* of the shift itself no bit is left */
    return (vector)((scaled & is_normal) | ((integers)x & ~is_number));
}

/* c (+)= a b for one tile: c[r][j] = sum over k of a[r * a_row + k * a_step] * b[k * b_step + j]. */
static inline void multiply_tile(const float *a, long a_row, long a_step, const float *b, long b_step, float *c,
                                 long c_row, long depth, int is_added) {
    vector left[ROWS], right[ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        left[r] = is_added ? load(c + r * c_row) : splat(0);
        right[r] = is_added ? load(c + r * c_row + LANES) : splat(0);
    }
    for (long k = 0; k < depth; k++) {
        vector b_left = load(b + k * b_step), b_right = load(b + k * b_step + LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            vector factor = splat(a[r * a_row + k * a_step]);
            left[r] += factor * b_left;
            right[r] += factor * b_right;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        store(c + r * c_row, left[r]);
        store(c + r * c_row + LANES, right[r]);
    }
}

/* c (+)= a b with a (rows, depth) in any layout, b (depth, columns) and c (rows, columns) in rows of b_step and c_row
   numbers; rows and columns are multiples of ROWS and COLUMNS. */
static inline void multiply(const float *a, long a_row, long a_step, const float *b, long b_step, float *c, long c_row,
                            long rows, long columns, long depth, int is_added) {
    for (long j = 0; j < columns; j += COLUMNS)
        for (long r = 0; r < rows; r += ROWS)
            multiply_tile(a + r * a_row, a_row, a_step, b + j, b_step, c + r * c_row + j, c_row, depth, is_added);
}

static inline long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }
