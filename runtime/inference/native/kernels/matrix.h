/* A linear layer's weights, or those of some of its outputs. */
#pragma once
#include <stdint.h>
#include "vectors.h"

enum { TILE = 32, BLOCK = 64 };
enum Kind { NONE, NF4, DENSE };

typedef struct {
    int32_t kind, outputs, inputs;
    int32_t scale_stride;   /* of NF4, packed: from one block's scales to the next one's */
    const void *weight;     /* DENSE: elements [O, I]. NF4: bytes, [O, I / 2] or, packed, [O / 32, I / 2, 32] */
    const void *scales;     /* of NF4, of each block of 64 weights: bytes [O, I / 64] or, packed, bf16 [I / 64, O] */
    const float *bias;      /* [O] or NULL */
    /* A scale that is a byte b, of block n of the layer, is values[b] factors[n / 256] + offset. */
    const float *values, *factors;
    float offset;
    int32_t first_block;    /* the layer's block that is this matrix' first one */
} Matrix;
