/* NF4 as bitsandbytes packs it for AVX512-BF16: 32 outputs' weights beside one another. One output is one lane. */
#pragma once
#include <string.h>
#include "matrix.h"

enum { GROUP = 8 };

/* NormalFloat 4 (Dettmers et al. 2023) in bf16, twice: a permutation looks at five bits, and the fifth is not the code's. */
static const element LEVELS[32] = {
    0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdba, 0x0000, 0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee2, 0x3f10, 0x3f39, 0x3f80,
    0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdba, 0x0000, 0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee2, 0x3f10, 0x3f39, 0x3f80,
};

/* 32 bytes: two inputs' weights of 32 outputs, the first 16 in the low halves. */
INLINE void decode(const uint8_t *packed, __m512i levels, bundles *low, bundles *high) {
    __m512i words = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)packed));
    *low = (bundles)_mm512_permutexvar_epi16(words, levels);
    *high = (bundles)_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 4), levels);
}

/* `rows` of one tile or, for a single row, of more tiles: sums that wait for one another leave room for others. */
INLINE void nf4_few(const int rows, const int tiles, const Matrix *m, int tile, const element *x, size_t stride, float *out) {
    const __m512i levels = _mm512_loadu_si512(LEVELS);
    const uint8_t *packed = (const uint8_t *)m->weight + (size_t)tile * m->inputs * (TILE / 2);
    const size_t next = (size_t)m->inputs * (TILE / 2);
    floats sums[GROUP][2];
    for (int at = 0; at < rows * tiles; at++) sums[at][0] = sums[at][1] = all(0);
    for (int k = 0; k < m->inputs; k += BLOCK) {
        floats parts[GROUP][2];
        UNROLL
        for (int at = 0; at < rows * tiles; at++) parts[at][0] = parts[at][1] = all(0);
        for (int p = 0; p < BLOCK; p += 2) {
            UNROLL
            for (int t = 0; t < tiles; t++) {
                bundles low, high;
                decode(packed + t * next + (size_t)(k + p) * (TILE / 2), levels, &low, &high);
                UNROLL
                for (int row = 0; row < rows; row++) {
                    bundles input = all_bundles(x + row * stride + k + p);
                    parts[t + row][0] = products_and(low, input, parts[t + row][0]);
                    parts[t + row][1] = products_and(high, input, parts[t + row][1]);
                }
            }
        }
        const element *scales = (const element *)m->scales + (size_t)(k / BLOCK) * m->scale_stride + (size_t)tile * TILE;
        UNROLL
        for (int at = 0; at < rows * tiles; at++) {
            const element *own = scales + (rows == 1 ? at * TILE : 0);
            sums[at][0] = product_and(parts[at][0], load_elements(own), sums[at][0]);
            sums[at][1] = product_and(parts[at][1], load_elements(own + 16), sums[at][1]);
        }
    }
    for (int at = 0; at < rows * tiles; at++) {
        store(out + at * TILE, sums[at][0]);
        store(out + at * TILE + 16, sums[at][1]);
    }
}

/* A block of a tile's weights, decoded, with up to GROUP rows. */
INLINE void nf4_block(const int rows, const bundles *weights, const element *x, size_t stride, floats low_scale, floats high_scale, float *out) {
    floats parts[GROUP][2];
    UNROLL
    for (int row = 0; row < rows; row++) parts[row][0] = parts[row][1] = all(0);
    for (int p = 0; p < BLOCK; p += 2) {
        bundles low = weights[p], high = weights[p + 1];
        UNROLL
        for (int row = 0; row < rows; row++) {
            bundles input = all_bundles(x + row * stride + p);
            parts[row][0] = products_and(low, input, parts[row][0]);
            parts[row][1] = products_and(high, input, parts[row][1]);
        }
    }
    UNROLL
    for (int row = 0; row < rows; row++) {
        float *sums = out + row * TILE;
        store(sums, product_and(parts[row][0], low_scale, load(sums)));
        store(sums + 16, product_and(parts[row][1], high_scale, load(sums + 16)));
    }
}

#define UP_TO_GROUP(rows, with) \
    switch (rows) { \
        case 1: with(1); break; case 2: with(2); break; case 3: with(3); break; case 4: with(4); break; \
        case 5: with(5); break; case 6: with(6); break; case 7: with(7); break; default: with(8); break; \
    }

static void nf4_many(const Matrix *m, int tile, const element *x, size_t stride, int rows, float *out) {
    const __m512i levels = _mm512_loadu_si512(LEVELS);
    const uint8_t *packed = (const uint8_t *)m->weight + (size_t)tile * m->inputs * (TILE / 2);
    memset(out, 0, sizeof(float) * TILE * (size_t)rows);
    for (int k = 0; k < m->inputs; k += BLOCK) {
        bundles weights[BLOCK];
        for (int p = 0; p < BLOCK; p += 2) decode(packed + (size_t)(k + p) * (TILE / 2), levels, &weights[p], &weights[p + 1]);
        const element *scales = (const element *)m->scales + (size_t)(k / BLOCK) * m->scale_stride + (size_t)tile * TILE;
        const floats low = load_elements(scales), high = load_elements(scales + 16);
        for (int row = 0; row < rows; row += GROUP) {
            const element *own = x + row * stride + k;
            float *sums = out + (size_t)row * TILE;
#define WITH(n) nf4_block(n, weights, own, stride, low, high, sums)
            UP_TO_GROUP(rows - row, WITH)
#undef WITH
        }
    }
}

static void nf4_tile(const Matrix *m, int tile, const element *x, size_t stride, int rows, float *out) {
    if (rows > GROUP) {
        nf4_many(m, tile, x, stride, rows, out);
        return;
    }
#define WITH(n) nf4_few(n, 1, m, tile, x, stride, out)
    UP_TO_GROUP(rows, WITH)
#undef WITH
}

/* Of a single row. */
static void nf4_two_tiles(const Matrix *m, int tile, const element *x, float *out) { nf4_few(1, 2, m, tile, x, 0, out); }
