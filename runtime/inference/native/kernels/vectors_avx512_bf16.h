/* AVX-512 with BF16: sixteen floats at a time. Activations and KV caches are bf16; an instruction multiplies two in a lane. */
#pragma once
#include <immintrin.h>
#include <stdint.h>

enum { DENSE_ROWS = 4 }; /* with four outputs, whose sums the registers hold */
enum { LANES = 16, BUNDLE = 2 };
typedef __m512 floats;
typedef uint16_t element;
typedef int32_t bundle;
typedef __m512bh bundles;

static inline floats load(const float *from) { return _mm512_loadu_ps(from); }
static inline void store(float *to, floats values) { _mm512_storeu_ps(to, values); }
static inline floats all(float value) { return _mm512_set1_ps(value); }

/* a b + c, rounded once; and c - a b */
static inline floats product_and(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline floats without_product(floats a, floats b, floats c) { return _mm512_fnmadd_ps(a, b, c); }
static inline floats larger(floats a, floats b) { return _mm512_max_ps(a, b); }
static inline floats smaller(floats a, floats b) { return _mm512_min_ps(a, b); }
static inline floats whole(floats x) { return _mm512_roundscale_ps(x, 0); }
static inline floats times_power(floats x, floats exponent) { return _mm512_scalef_ps(x, exponent); }
static inline float sum_of(floats values) { return _mm512_reduce_add_ps(values); }
static inline float largest_of(floats values) { return _mm512_reduce_max_ps(values); }

/* `values` where x >= least, else 0 */
static inline floats where_least(floats x, float least, floats values) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(least), _CMP_GE_OQ), values);
}

/* `values` in lanes [first, end), else others */
static inline floats in_lanes(int first, int end, floats values, floats others) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __mmask16 within = _mm512_cmpge_epi32_mask(lanes, _mm512_set1_epi32(first)) & _mm512_cmplt_epi32_mask(lanes, _mm512_set1_epi32(end));
    return _mm512_mask_blend_ps(within, others, values);
}

static inline floats load_elements(const element *from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16));
}

static inline void store_elements(element *to, floats values) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(values));
}

static inline bundles load_bundles(const void *from) { return (__m512bh)_mm512_loadu_si512(from); }

static inline bundles all_bundles(const element *from) {
    bundle both;
    __builtin_memcpy(&both, from, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

static inline floats products_and(bundles a, bundles b, floats sums) { return _mm512_dpbf16_ps(sums, a, b); }
