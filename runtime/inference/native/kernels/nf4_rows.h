/* NF4 as bitsandbytes quantizes it: an output's weights behind one another. A lane has every so manieth input of an output.
 *
 * A weight is decoded to the float that torch dequantizes it to.
 */
#pragma once
#include <string.h>
#include "matrix.h"

enum { OUTPUTS = 4, ROWS = 3 }; /* whose sums the registers hold */
enum { SLICE = 512, ROWS_A_SLICE = 48 }; /* inputs, and rows that a slice's weights are decoded for: both stay in the caches */

/* NormalFloat 4 (Dettmers et al. 2023): the bytes of its sixteen floats, the lowest ones first. */
static const uint8_t LEVELS[4][16] = {
    {0x00, 0xb1, 0x30, 0xa0, 0x4d, 0x3f, 0x71, 0x00, 0xff, 0xe3, 0xdd, 0x3a, 0xb8, 0xab, 0xb3, 0x00},
    {0x00, 0x39, 0x6b, 0x32, 0xa2, 0x35, 0x78, 0x00, 0xfa, 0xca, 0x04, 0x03, 0xa4, 0x07, 0x13, 0x00},
    {0x80, 0x32, 0x06, 0xca, 0x91, 0x3d, 0xba, 0x00, 0xa2, 0x24, 0x7c, 0xad, 0xe1, 0x10, 0x39, 0x80},
    {0xbf, 0xbf, 0xbf, 0xbe, 0xbe, 0xbe, 0xbd, 0x00, 0x3d, 0x3e, 0x3e, 0x3e, 0x3e, 0x3f, 0x3f, 0x3f},
};

/* A block of one output. */
INLINE void weights_of(const Matrix *m, int output, int block, floats *weights) {
    const size_t at = (size_t)output * (m->inputs / BLOCK) + block;
    const float scale = m->values[((const uint8_t *)m->scales)[at]] * m->factors[(m->first_block + at) / 256] + m->offset;
    decode((const uint8_t *)m->weight + at * (BLOCK / 2), LEVELS, weights);
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK / LANES; i++) weights[i] *= all(scale);
}

/* A tile for a single row, whose inputs meet the weights as these are decoded. */
static void nf4_one(const Matrix *m, int tile, const float *x, float *out) {
    for (int o = 0; o < TILE; o += OUTPUTS) {
        floats sums[OUTPUTS];
        for (int i = 0; i < OUTPUTS; i++) sums[i] = all(0);
        for (int block = 0; block < m->inputs / BLOCK; block++) {
#pragma GCC unroll 4
            for (int i = 0; i < OUTPUTS; i++) {
                floats weights[BLOCK / LANES];
                weights_of(m, tile * TILE + o + i, block, weights);
#pragma GCC unroll 16
                for (int at = 0; at < BLOCK / LANES; at++) sums[i] = product_and(weights[at], load(x + block * BLOCK + at * LANES), sums[i]);
            }
        }
        for (int i = 0; i < OUTPUTS; i++) out[o + i] = sum_of(sums[i]);
    }
}

/* A slice's products of some outputs, decoded, with `rows`. */
INLINE void nf4_few(const int rows, float weights[OUTPUTS][SLICE], int inputs, const float *x, size_t stride, floats sums[][TILE]) {
    floats own[ROWS][OUTPUTS];
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++) own[row][o] = sums[row][o];
    for (int k = 0; k < inputs; k += LANES) {
        floats input[ROWS];
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) input[row] = load(x + row * stride + k);
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++) {
            const floats weight = load(weights[o] + k);
#pragma GCC unroll 4
            for (int row = 0; row < rows; row++) own[row][o] = product_and(weight, input[row], own[row][o]);
        }
    }
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++) sums[row][o] = own[row][o];
}

/* A tile for up to ROWS_A_SLICE rows. */
static void nf4_some(const Matrix *m, int tile, const float *x, size_t stride, int rows, float *out) {
    floats sums[ROWS_A_SLICE][TILE];
    memset(sums, 0, sizeof sums[0] * (size_t)rows);
    for (int k = 0; k < m->inputs; k += SLICE) {
        const int inputs = m->inputs - k < SLICE ? m->inputs - k : SLICE;
        for (int o = 0; o < TILE; o += OUTPUTS) {
            float weights[OUTPUTS][SLICE];
            for (int i = 0; i < OUTPUTS; i++)
                for (int at = 0; at < inputs; at += BLOCK) {
                    floats decoded[BLOCK / LANES];
                    weights_of(m, tile * TILE + o + i, (k + at) / BLOCK, decoded);
#pragma GCC unroll 16
                    for (int part = 0; part < BLOCK / LANES; part++) store(weights[i] + at + part * LANES, decoded[part]);
                }
            for (int row = 0, count; row < rows; row += count) {
                const float *own = x + row * stride + k;
                count = rows - row == 4 ? 2 : rows - row < ROWS ? rows - row : ROWS; /* 2 and 2 take less than 3 and 1 */
                switch (count) {
                    case 1: nf4_few(1, weights, inputs, own, stride, (floats (*)[TILE])(sums[row] + o)); break;
                    case 2: nf4_few(2, weights, inputs, own, stride, (floats (*)[TILE])(sums[row] + o)); break;
                    default: nf4_few(3, weights, inputs, own, stride, (floats (*)[TILE])(sums[row] + o)); break;
                }
            }
        }
    }
    for (int row = 0; row < rows; row++)
        for (int o = 0; o < TILE; o++) out[row * TILE + o] = sum_of(sums[row][o]);
}

static void nf4_tile(const Matrix *m, int tile, const float *x, size_t stride, int rows, float *out) {
    if (rows == 1) {
        nf4_one(m, tile, x, out);
        return;
    }
    for (int row = 0; row < rows; row += ROWS_A_SLICE)
        nf4_some(m, tile, x + row * stride, stride, rows - row < ROWS_A_SLICE ? rows - row : ROWS_A_SLICE, out + (size_t)row * TILE);
}

/* Of a single row. */
static void nf4_two_tiles(const Matrix *m, int tile, const float *x, float *out) {
    nf4_one(m, tile, x, out);
    nf4_one(m, tile + 1, x, out + TILE);
}
