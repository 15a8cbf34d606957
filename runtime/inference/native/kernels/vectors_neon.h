/* NEON of 64-bit ARM: four floats at a time. Activations and KV caches are float32. */
#pragma once
#include <arm_neon.h>
#include <stdint.h>

enum { DENSE_ROWS = 4 }; /* with four outputs, whose sums the registers hold */
enum { LANES = 4, BUNDLE = 1 };
typedef float32x4_t floats;
typedef float element;
typedef float bundle;
typedef float32x4_t bundles;

static inline floats load(const float *from) { return vld1q_f32(from); }
static inline void store(float *to, floats values) { vst1q_f32(to, values); }
static inline floats all(float value) { return vdupq_n_f32(value); }
static inline floats in_register(floats values) { return values; }

/* a b + c, rounded once; and c - a b */
static inline floats product_and(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }
static inline floats without_product(floats a, floats b, floats c) { return vfmsq_f32(c, a, b); }
static inline floats larger(floats a, floats b) { return vmaxq_f32(a, b); }
static inline floats smaller(floats a, floats b) { return vminq_f32(a, b); }
static inline floats whole(floats x) { return vrndnq_f32(x); }
static inline float sum_of(floats values) { return vaddvq_f32(values); }
static inline float largest_of(floats values) { return vmaxvq_f32(values); }

/* x 2^exponent, for exponents of normal numbers */
static inline floats times_power(floats x, floats exponent) {
    const int32x4_t biased = vaddq_s32(vcvtnq_s32_f32(exponent), vdupq_n_s32(127));
    return x * vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}

/* `values` where x >= least, else 0 */
static inline floats where_least(floats x, float least, floats values) {
    return vbslq_f32(vcgeq_f32(x, all(least)), values, all(0));
}

/* `values` in lanes [first, end), else others */
static inline floats in_lanes(int first, int end, floats values, floats others) {
    static const int32_t LANE[4] = {0, 1, 2, 3};
    const int32x4_t lanes = vld1q_s32(LANE);
    return vbslq_f32(vandq_u32(vcgeq_s32(lanes, vdupq_n_s32(first)), vcltq_s32(lanes, vdupq_n_s32(end))), values, others);
}

static inline floats load_elements(const element *from) { return load(from); }
static inline void store_elements(element *to, floats values) { store(to, values); }
static inline bundles load_bundles(const void *from) { return load(from); }
static inline bundles all_bundles(const element *from) { return vld1q_dup_f32(from); }
static inline floats products_and(bundles a, bundles b, floats sums) { return product_and(a, b, sums); }

/* 64 weights of 4 bits, the first of two in the high half of their byte, as the floats that they stand for. `levels` has
 * these floats' bytes, the lowest of all sixteen first. */
INLINE void decode(const uint8_t *packed, const uint8_t levels[4][16], floats *weights) {
    UNROLL
    for (int at = 0; at < 4; at++) {
        const uint8x16_t both = vld1q_u8(packed + at / 2 * 16), first = vshrq_n_u8(both, 4), second = vandq_u8(both, vdupq_n_u8(15));
        const uint8x16_t codes = at % 2 ? vzip2q_u8(first, second) : vzip1q_u8(first, second);
        uint8x16_t bytes[4];
        UNROLL
        for (int i = 0; i < 4; i++) bytes[i] = vqtbl1q_u8(vld1q_u8(levels[i]), codes);
        UNROLL
        for (int half = 0; half < 2; half++) {
            const uint16x8_t low = vreinterpretq_u16_u8(half ? vzip2q_u8(bytes[0], bytes[1]) : vzip1q_u8(bytes[0], bytes[1]));
            const uint16x8_t high = vreinterpretq_u16_u8(half ? vzip2q_u8(bytes[2], bytes[3]) : vzip1q_u8(bytes[2], bytes[3]));
            weights[4 * at + 2 * half] = vreinterpretq_f32_u16(vzip1q_u16(low, high));
            weights[4 * at + 2 * half + 1] = vreinterpretq_f32_u16(vzip2q_u16(low, high));
        }
    }
}
