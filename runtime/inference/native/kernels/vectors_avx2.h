/* AVX2 with FMA: eight floats at a time. Activations and KV caches are float32. */
#pragma once
#include <immintrin.h>
#include <stdint.h>

enum { DENSE_ROWS = 3 }; /* with four outputs, whose sums the registers hold */
enum { LANES = 8, BUNDLE = 1 };
typedef __m256 floats;
typedef float element;
typedef float bundle;
typedef __m256 bundles;

static inline floats load(const float *from) { return _mm256_loadu_ps(from); }
static inline void store(float *to, floats values) { _mm256_storeu_ps(to, values); }
static inline floats all(float value) { return _mm256_set1_ps(value); }

/* Keeps gcc from loading what is used several times again for each use. */
static inline floats in_register(floats values) {
    __asm__("" : "+x"(values));
    return values;
}

/* a b + c, rounded once; and c - a b */
static inline floats product_and(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline floats without_product(floats a, floats b, floats c) { return _mm256_fnmadd_ps(a, b, c); }
static inline floats larger(floats a, floats b) { return _mm256_max_ps(a, b); }
static inline floats smaller(floats a, floats b) { return _mm256_min_ps(a, b); }
static inline floats whole(floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* x 2^exponent, for exponents of normal numbers */
static inline floats times_power(floats x, floats exponent) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127));
    return x * _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

static inline float sum_of(floats values) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float largest_of(floats values) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* `values` where x >= least, else 0 */
static inline floats where_least(floats x, float least, floats values) {
    return _mm256_and_ps(_mm256_cmp_ps(x, all(least), _CMP_GE_OQ), values);
}

/* `values` in lanes [first, end), else others */
static inline floats in_lanes(int first, int end, floats values, floats others) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(first), lanes), behind = _mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(end - 1));
    return _mm256_blendv_ps(values, others, _mm256_castsi256_ps(_mm256_or_si256(before, behind)));
}

static inline floats load_elements(const element *from) { return load(from); }
static inline void store_elements(element *to, floats values) { store(to, values); }
static inline bundles load_bundles(const void *from) { return load(from); }
static inline bundles all_bundles(const element *from) { return _mm256_broadcast_ss(from); }
static inline floats products_and(bundles a, bundles b, floats sums) { return product_and(a, b, sums); }

/* 64 weights of 4 bits, the first of two in the high half of their byte, as the floats that they stand for. `levels` has
 * these floats' bytes, the lowest of all sixteen first. */
INLINE void decode(const uint8_t *packed, const uint8_t levels[4][16], floats *weights) {
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i spread = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    /* unpacking works within halves of a vector: what comes first in either half of a result goes there now */
    __m256i both = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)packed), spread), 0xd8);
    __m256i first = _mm256_and_si256(_mm256_srli_epi16(both, 4), half), second = _mm256_and_si256(both, half);
    __m256i codes[2] = {_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second)};
    UNROLL
    for (int at = 0; at < 2; at++) {
        __m256i bytes[4];
        UNROLL
        for (int i = 0; i < 4; i++) bytes[i] = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)levels[i])), codes[at]);
        __m256i low[2] = {_mm256_unpacklo_epi8(bytes[0], bytes[1]), _mm256_unpackhi_epi8(bytes[0], bytes[1])};
        __m256i high[2] = {_mm256_unpacklo_epi8(bytes[2], bytes[3]), _mm256_unpackhi_epi8(bytes[2], bytes[3])};
        UNROLL
        for (int i = 0; i < 2; i++) {
            weights[4 * at + 2 * i] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low[i], high[i]));
            weights[4 * at + 2 * i + 1] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low[i], high[i]));
        }
    }
}
