/* Tiles of a linear layer's output: 32 of its outputs, for all rows of a pass.
 *
 * Inputs are bf16, sums float32. A row's sums are added up in the same order whatever rows are computed beside it: what
 * a sequence gets does not depend, not by a bit, on who else is answered.
 */
#pragma once
#include <string.h>
#include "vectors.h"

enum { TILE = 32, BLOCK = 64, GROUP = 8 };
enum Kind { NONE, NF4, DENSE };

typedef struct {
    int32_t kind, outputs, inputs;
    int32_t scale_stride;   /* of NF4: from one block's scales to the next one's */
    const void *weight;     /* DENSE: bf16 [O, I]. NF4: as bitsandbytes packs it for AVX512-BF16, [O / 32, I / 2, 32] bytes */
    const bf16 *scales;     /* of NF4: [I / 64, O] */
    const float *bias;      /* [O] or NULL */
} Matrix;

/* NormalFloat 4 (Dettmers et al. 2023) in bf16, twice: a permutation looks at five bits, and the fifth is not the code's. */
static const bf16 LEVELS[32] = {
    0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdba, 0x0000, 0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee2, 0x3f10, 0x3f39, 0x3f80,
    0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdba, 0x0000, 0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee2, 0x3f10, 0x3f39, 0x3f80,
};

#define INLINE static inline __attribute__((always_inline))

/* 32 bytes: two inputs' weights of 32 outputs, the first 16 in the low halves. */
INLINE void decode(const uint8_t *packed, __m512i levels, __m512bh *low, __m512bh *high) {
    __m512i words = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)packed));
    *low = (__m512bh)_mm512_permutexvar_epi16(words, levels);
    *high = (__m512bh)_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 4), levels);
}

INLINE __m512bh pair(const bf16 *x) {
    int32_t both;
    memcpy(&both, x, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* `rows` of one tile or, for a single row, of more tiles: sums that wait for one another leave room for others. */
INLINE void nf4_few(const int rows, const int tiles, const Matrix *m, int tile, const bf16 *x, size_t stride, float *out) {
    const __m512i levels = _mm512_loadu_si512(LEVELS);
    const uint8_t *packed = (const uint8_t *)m->weight + (size_t)tile * m->inputs * (TILE / 2);
    const size_t next = (size_t)m->inputs * (TILE / 2);
    __m512 sums[GROUP][2];
    for (int at = 0; at < rows * tiles; at++) sums[at][0] = sums[at][1] = _mm512_setzero_ps();
    for (int k = 0; k < m->inputs; k += BLOCK) {
        __m512 parts[GROUP][2];
#pragma GCC unroll 8
        for (int at = 0; at < rows * tiles; at++) parts[at][0] = parts[at][1] = _mm512_setzero_ps();
        for (int p = 0; p < BLOCK; p += 2) {
#pragma GCC unroll 4
            for (int t = 0; t < tiles; t++) {
                __m512bh low, high;
                decode(packed + t * next + (size_t)(k + p) * (TILE / 2), levels, &low, &high);
#pragma GCC unroll 8
                for (int row = 0; row < rows; row++) {
                    __m512bh input = pair(x + row * stride + k + p);
                    parts[t + row][0] = _mm512_dpbf16_ps(parts[t + row][0], low, input);
                    parts[t + row][1] = _mm512_dpbf16_ps(parts[t + row][1], high, input);
                }
            }
        }
        const bf16 *scales = m->scales + (size_t)(k / BLOCK) * m->scale_stride + (size_t)tile * TILE;
#pragma GCC unroll 8
        for (int at = 0; at < rows * tiles; at++) {
            const bf16 *own = scales + (rows == 1 ? at * TILE : 0);
            sums[at][0] = _mm512_fmadd_ps(parts[at][0], load_bf16(own), sums[at][0]);
            sums[at][1] = _mm512_fmadd_ps(parts[at][1], load_bf16(own + 16), sums[at][1]);
        }
    }
    for (int at = 0; at < rows * tiles; at++) {
        _mm512_storeu_ps(out + at * TILE, sums[at][0]);
        _mm512_storeu_ps(out + at * TILE + 16, sums[at][1]);
    }
}

/* A block of a tile's weights, decoded, with up to GROUP rows. */
INLINE void nf4_block(const int rows, const __m512bh *weights, const bf16 *x, size_t stride, __m512 low_scale, __m512 high_scale, float *out) {
    __m512 parts[GROUP][2];
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++) parts[row][0] = parts[row][1] = _mm512_setzero_ps();
    for (int p = 0; p < BLOCK; p += 2) {
        __m512bh low = weights[p], high = weights[p + 1];
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            __m512bh input = pair(x + row * stride + p);
            parts[row][0] = _mm512_dpbf16_ps(parts[row][0], low, input);
            parts[row][1] = _mm512_dpbf16_ps(parts[row][1], high, input);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++) {
        float *sums = out + row * TILE;
        _mm512_storeu_ps(sums, _mm512_fmadd_ps(parts[row][0], low_scale, _mm512_loadu_ps(sums)));
        _mm512_storeu_ps(sums + 16, _mm512_fmadd_ps(parts[row][1], high_scale, _mm512_loadu_ps(sums + 16)));
    }
}

#define UP_TO_GROUP(rows, with) \
    switch (rows) { \
        case 1: with(1); break; case 2: with(2); break; case 3: with(3); break; case 4: with(4); break; \
        case 5: with(5); break; case 6: with(6); break; case 7: with(7); break; default: with(8); break; \
    }

static void nf4_many(const Matrix *m, int tile, const bf16 *x, size_t stride, int rows, float *out) {
    const __m512i levels = _mm512_loadu_si512(LEVELS);
    const uint8_t *packed = (const uint8_t *)m->weight + (size_t)tile * m->inputs * (TILE / 2);
    memset(out, 0, sizeof(float) * TILE * (size_t)rows);
    for (int k = 0; k < m->inputs; k += BLOCK) {
        __m512bh weights[BLOCK];
        for (int p = 0; p < BLOCK; p += 2) decode(packed + (size_t)(k + p) * (TILE / 2), levels, &weights[p], &weights[p + 1]);
        const bf16 *scales = m->scales + (size_t)(k / BLOCK) * m->scale_stride + (size_t)tile * TILE;
        const __m512 low = load_bf16(scales), high = load_bf16(scales + 16);
        for (int row = 0; row < rows; row += GROUP) {
            const bf16 *own = x + row * stride + k;
            float *sums = out + (size_t)row * TILE;
#define WITH(n) nf4_block(n, weights, own, stride, low, high, sums)
            UP_TO_GROUP(rows - row, WITH)
#undef WITH
        }
    }
}

static void nf4_tile(const Matrix *m, int tile, const bf16 *x, size_t stride, int rows, float *out) {
    if (rows > GROUP) {
        nf4_many(m, tile, x, stride, rows, out);
        return;
    }
#define WITH(n) nf4_few(n, 1, m, tile, x, stride, out)
    UP_TO_GROUP(rows, WITH)
#undef WITH
}

/* `outputs` x `rows` sums over whole rows of a dense matrix. */
INLINE void dense_few(const int outputs, const int rows, const bf16 *const *weight, int inputs, const bf16 *x, size_t stride, float *out) {
    __m512 sums[4][4];
#pragma GCC unroll 4
    for (int o = 0; o < outputs; o++)
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) sums[o][row] = _mm512_setzero_ps();
    for (int k = 0; k < inputs; k += 32) {
        __m512bh inputs_of[4];
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) inputs_of[row] = (__m512bh)_mm512_loadu_si512(x + row * stride + k);
#pragma GCC unroll 4
        for (int o = 0; o < outputs; o++) {
            __m512bh own = (__m512bh)_mm512_loadu_si512(weight[o] + k);
#pragma GCC unroll 4
            for (int row = 0; row < rows; row++) sums[o][row] = _mm512_dpbf16_ps(sums[o][row], own, inputs_of[row]);
        }
    }
    for (int o = 0; o < outputs; o++)
        for (int row = 0; row < rows; row++) out[row * TILE + o] = _mm512_reduce_add_ps(sums[o][row]);
}

static void dense_tile(const Matrix *m, int tile, const bf16 *x, size_t stride, int rows, float *out) {
    for (int o = 0; o < TILE; o += 4) {
        const bf16 *own[4];
        for (int i = 0; i < 4; i++) {
            int output = tile * TILE + o + i;
            if (output >= m->outputs) output = m->outputs - 1; /* the last tile may not be whole */
            own[i] = (const bf16 *)m->weight + (size_t)output * m->inputs;
        }
        for (int row = 0; row < rows; row += 4) {
            const bf16 *input = x + row * stride;
            float *sums = out + (size_t)row * TILE + o;
            switch (rows - row) {
                case 1: dense_few(4, 1, own, m->inputs, input, stride, sums); break;
                case 2: dense_few(4, 2, own, m->inputs, input, stride, sums); break;
                case 3: dense_few(4, 3, own, m->inputs, input, stride, sums); break;
                default: dense_few(4, 4, own, m->inputs, input, stride, sums); break;
            }
        }
    }
}

/* out[rows][32], without the bias. `x` is [rows, stride]. */
static void tile_of(const Matrix *m, int tile, const bf16 *x, size_t stride, int rows, float *out) {
    (m->kind == NF4 ? nf4_tile : dense_tile)(m, tile, x, stride, rows, out);
}
