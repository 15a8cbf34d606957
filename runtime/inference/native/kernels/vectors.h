/* Several floats at a time, and functions of them. A header for each instruction set has the type and what it can do:
 *
 * floats, LANES of them; element, what activations and KV caches are kept in; and bundles, in each lane BUNDLE elements
 * that lie behind one another, which are multiplied and added up at once.
 */
#pragma once
#include <stddef.h>
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__ /* which unrolls too late for registers where it is told how often */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512BF16__)
#include "vectors_avx512_bf16.h"
#elif defined(__AVX2__)
#include "vectors_avx2.h"
#elif defined(__ARM_NEON)
#include "vectors_neon.h"
#endif

/* exp, within 2 units in the last place; 0 below -87. Cephes' range reduction, and a Taylor polynomial of what is left. */
static inline floats exp_of(floats x) {
    x = smaller(x, all(88.0f));
    floats n = whole(x * all(1.44269504f));
    floats r = without_product(n, all(0.693359375f), x);
    r = without_product(n, all(-2.12194440e-4f), r);
    floats y = all(1.0f / 720);
    y = product_and(y, r, all(1.0f / 120));
    y = product_and(y, r, all(1.0f / 24));
    y = product_and(y, r, all(1.0f / 6));
    y = product_and(y, r, all(0.5f));
    y = product_and(y, r, all(1.0f));
    y = product_and(y, r, all(1.0f));
    return where_least(x, -87.0f, times_power(y, n));
}

static inline floats sigmoid_of(floats x) { return all(1.0f) / (all(1.0f) + exp_of(all(0.0f) - x)); }

/* tanh(x) = 2 sigmoid(2x) - 1 */
static inline floats tanh_of(floats x) { return product_and(all(2.0f), sigmoid_of(all(2.0f) * x), all(-1.0f)); }
