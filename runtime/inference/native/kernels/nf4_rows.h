/* NF4 as bitsandbytes quantizes it: an output's weights behind one another. They are decoded to the floats that torch
 * dequantizes them to. A lane sums up every LANES-th input of an output, and the lanes' sums are added last.
 */
#pragma once
#include <string.h>
#include "matrix.h"

enum { OUTPUTS = 4, ROWS = 3 }; /* whose sums the registers hold */
enum { SLICE = 256, ROWS_A_SLICE = 48 }; /* inputs, and rows that a slice's weights are decoded for: both stay in the caches */

/* NormalFloat 4 (Dettmers et al. 2023): the bytes of its sixteen floats, the lowest ones first. */
static const uint8_t LEVELS[4][16] = {
    {0x00, 0xb1, 0x30, 0xa0, 0x4d, 0x3f, 0x71, 0x00, 0xff, 0xe3, 0xdd, 0x3a, 0xb8, 0xab, 0xb3, 0x00},
    {0x00, 0x39, 0x6b, 0x32, 0xa2, 0x35, 0x78, 0x00, 0xfa, 0xca, 0x04, 0x03, 0xa4, 0x07, 0x13, 0x00},
    {0x80, 0x32, 0x06, 0xca, 0x91, 0x3d, 0xba, 0x00, 0xa2, 0x24, 0x7c, 0xad, 0xe1, 0x10, 0x39, 0x80},
    {0xbf, 0xbf, 0xbf, 0xbe, 0xbe, 0xbe, 0xbd, 0x00, 0x3d, 0x3e, 0x3e, 0x3e, 0x3e, 0x3f, 0x3f, 0x3f},
};

/* A block of one output. `ahead`: bytes from its weights to those that are wanted soon. */
INLINE void weights_of(const Matrix *m, int output, int block, size_t ahead, floats *weights) {
    const size_t at = (size_t)output * (m->inputs / BLOCK) + block;
    const float scale = m->values[((const uint8_t *)m->scales)[at]] * m->factors[(m->first_block + at) / 256] + m->offset;
    const uint8_t *packed = (const uint8_t *)m->weight + at * (BLOCK / 2);
    __builtin_prefetch(packed + ahead);
    decode(packed, LEVELS, weights);
    UNROLL
    for (int i = 0; i < BLOCK / LANES; i++) weights[i] *= all(scale);
}

/* A tile for a single row, whose inputs meet the weights as these are decoded. */
static void nf4_one(const Matrix *m, int tile, const float *x, float *out) {
    for (int o = 0; o < TILE; o += OUTPUTS) {
        floats sums[OUTPUTS];
        for (int i = 0; i < OUTPUTS; i++) sums[i] = all(0);
        for (int block = 0; block < m->inputs / BLOCK; block++) {
            UNROLL
            for (int i = 0; i < OUTPUTS; i++) {
                floats weights[BLOCK / LANES];
                weights_of(m, tile * TILE + o + i, block, (size_t)m->inputs * OUTPUTS / 2, weights);
                UNROLL
                for (int at = 0; at < BLOCK / LANES; at++) sums[i] = product_and(weights[at], load(x + block * BLOCK + at * LANES), sums[i]);
            }
        }
        for (int i = 0; i < OUTPUTS; i++) out[o + i] = sum_of(sums[i]);
    }
}

typedef struct {
    float inputs[ROWS_A_SLICE][SLICE], weights[OUTPUTS][SLICE];
    floats sums[ROWS_A_SLICE][TILE]; /* a lane's own, until the last slice */
} Slice;

/* Products of OUTPUTS, decoded, with some rows. */
INLINE void nf4_few(const int rows, Slice *slice, int row, int output, int inputs) {
    floats sums[ROWS][OUTPUTS];
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
        for (int o = 0; o < OUTPUTS; o++) sums[r][o] = slice->sums[row + r][output + o];
    for (int k = 0; k < inputs; k += LANES) {
        floats own[ROWS];
        UNROLL
        for (int r = 0; r < rows; r++) own[r] = in_register(load(slice->inputs[row + r] + k));
        UNROLL
        for (int o = 0; o < OUTPUTS; o++) {
            const floats weight = load(slice->weights[o] + k);
            UNROLL
            for (int r = 0; r < rows; r++) sums[r][o] = product_and(weight, own[r], sums[r][o]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
        for (int o = 0; o < OUTPUTS; o++) slice->sums[row + r][output + o] = sums[r][o];
}

/* A tile for up to ROWS_A_SLICE rows. */
static void nf4_some(const Matrix *m, int tile, const float *x, size_t stride, int rows, float *out) {
    Slice slice;
    memset(slice.sums, 0, sizeof slice.sums[0] * (size_t)rows);
    for (int k = 0; k < m->inputs; k += SLICE) {
        const int inputs = m->inputs - k < SLICE ? m->inputs - k : SLICE;
        /* copied: rows that are a power of two apart would take each other's place in the cache */
        for (int row = 0; row < rows; row++) memcpy(slice.inputs[row], x + row * stride + k, sizeof(float) * (size_t)inputs);
        for (int o = 0; o < TILE; o += OUTPUTS) {
            for (int i = 0; i < OUTPUTS; i++)
                for (int at = 0; at < inputs; at += BLOCK) {
                    floats decoded[BLOCK / LANES];
                    weights_of(m, tile * TILE + o + i, (k + at) / BLOCK, SLICE / 2, decoded);
                    UNROLL
                    for (int part = 0; part < BLOCK / LANES; part++) store(slice.weights[i] + at + part * LANES, decoded[part]);
                }
            for (int row = 0, count; row < rows; row += count) {
                count = rows - row == 4 ? 2 : rows - row < ROWS ? rows - row : ROWS; /* 2 and 2 take less than 3 and 1 */
                switch (count) {
                    case 1: nf4_few(1, &slice, row, o, inputs); break;
                    case 2: nf4_few(2, &slice, row, o, inputs); break;
                    default: nf4_few(ROWS, &slice, row, o, inputs); break;
                }
            }
        }
    }
    for (int row = 0; row < rows; row++)
        for (int o = 0; o < TILE; o++) out[row * TILE + o] = sum_of(slice.sums[row][o]);
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
