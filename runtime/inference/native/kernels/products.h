/* Tiles of a linear layer's output: 32 of its outputs, for all rows of a pass.
 *
 * Sums are float32. A row's are added up in the same order whatever rows are computed beside it: what a sequence gets
 * does not depend, not by a bit, on who else is answered.
 */
#pragma once
#include "matrix.h"
#if defined(__AVX512BF16__)
#include "nf4_packed.h"
#else
#include "nf4_rows.h"
#endif

/* `outputs` x `rows` sums over whole rows of a dense matrix. */
INLINE void dense_few(const int outputs, const int rows, const element *const *weight, int inputs, const element *x, size_t stride, float *out) {
    floats sums[4][4];
    UNROLL
    for (int o = 0; o < outputs; o++)
        UNROLL
        for (int row = 0; row < rows; row++) sums[o][row] = all(0);
    for (int k = 0; k < inputs; k += LANES * BUNDLE) {
        bundles inputs_of[4];
        UNROLL
        for (int row = 0; row < rows; row++) inputs_of[row] = load_bundles(x + row * stride + k);
        UNROLL
        for (int o = 0; o < outputs; o++) {
            bundles own = load_bundles(weight[o] + k);
            UNROLL
            for (int row = 0; row < rows; row++) sums[o][row] = products_and(own, inputs_of[row], sums[o][row]);
        }
    }
    for (int o = 0; o < outputs; o++)
        for (int row = 0; row < rows; row++) out[row * TILE + o] = sum_of(sums[o][row]);
}

static void dense_tile(const Matrix *m, int tile, const element *x, size_t stride, int rows, float *out) {
    for (int o = 0; o < TILE; o += 4) {
        const element *own[4];
        for (int i = 0; i < 4; i++) {
            int output = tile * TILE + o + i;
            if (output >= m->outputs) output = m->outputs - 1; /* the last tile may not be whole */
            own[i] = (const element *)m->weight + (size_t)output * m->inputs;
        }
        for (int row = 0; row < rows; row += DENSE_ROWS) {
            const element *input = x + row * stride;
            float *sums = out + (size_t)row * TILE + o;
            switch (rows - row) {
                case 1: dense_few(4, 1, own, m->inputs, input, stride, sums); break;
                case 2: dense_few(4, 2, own, m->inputs, input, stride, sums); break;
                case 3: dense_few(4, 3, own, m->inputs, input, stride, sums); break;
                default: dense_few(4, DENSE_ROWS, own, m->inputs, input, stride, sums); break;
            }
        }
    }
}

/* out[rows][32], without the bias. `x` is [rows, stride]. */
static void tile_of(const Matrix *m, int tile, const element *x, size_t stride, int rows, float *out) {
    (m->kind == NF4 ? nf4_tile : dense_tile)(m, tile, x, stride, rows, out);
}
