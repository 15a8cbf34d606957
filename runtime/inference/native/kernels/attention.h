/* Causal attention of one sequence's new tokens to its KV cache, one key head at a time. */
#pragma once
#include "vectors.h"

enum { QUERIES = 16, KEYS = 64 };
#define UNSEEN (-1e30f) /* finite: the difference of two of them is a number */

typedef struct {
    const bf16 *keys, *values;  /* [S, D] of one head, the new tokens' included */
    int width;                  /* D: of a head */
    int window;                 /* tokens that a token sees at most, itself included; 0: all */
    float scale, softcap;       /* softcap c: a score s counts as c tanh(s / c); 0: as it is */
} Head;

static inline __m512 capped(__m512 scores, const Head *head) {
    if (head->softcap == 0) return scores;
    __m512 cap = _mm512_set1_ps(head->softcap);
    return _mm512_mul_ps(cap, tanh_ps(_mm512_div_ps(scores, cap)));
}

/* A single query [D] at `position`, which is the last. `scores` has room for `position` + 16 floats. */
static void attend_one(const Head *head, const bf16 *query, int position, float *scores, bf16 *out) {
    const int width = head->width;
    const int first = head->window && position >= head->window ? position - head->window + 1 : 0;
    const int count = position + 1 - first;
    const bf16 *keys = head->keys + (size_t)first * width, *values = head->values + (size_t)first * width;
    for (int key = 0; key < count; key++) {
        __m512 sum = _mm512_setzero_ps();
        for (int d = 0; d < width; d += 32)
            sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(query + d), (__m512bh)_mm512_loadu_si512(keys + (size_t)key * width + d));
        scores[key] = _mm512_reduce_add_ps(sum);
    }
    for (int key = count; key < count + 16; key++) scores[key] = UNSEEN / head->scale;
    __m512 most = _mm512_set1_ps(UNSEEN);
    for (int key = 0; key < count; key += 16) {
        __m512 own = capped(_mm512_mul_ps(_mm512_loadu_ps(scores + key), _mm512_set1_ps(head->scale)), head);
        if (key + 16 > count) own = _mm512_mask_blend_ps((__mmask16)((1 << (count - key)) - 1), _mm512_set1_ps(UNSEEN), own);
        _mm512_storeu_ps(scores + key, own);
        most = _mm512_max_ps(most, own);
    }
    __m512 largest = _mm512_set1_ps(_mm512_reduce_max_ps(most)), total = _mm512_setzero_ps();
    for (int key = 0; key < count; key += 16) {
        __m512 own = exp_ps(_mm512_sub_ps(_mm512_loadu_ps(scores + key), largest));
        _mm512_storeu_ps(scores + key, own);
        total = _mm512_add_ps(total, own);
    }
    const __m512 share = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(total));
    for (int d = 0; d < width; d += 64) {
        __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        const int parts = width - d < 64 ? (width - d) / 16 : 4;
        for (int key = 0; key < count; key++) {
            const __m512 weight = _mm512_set1_ps(scores[key]);
            const bf16 *value = values + (size_t)key * width + d;
            for (int part = 0; part < parts; part++) sums[part] = _mm512_fmadd_ps(weight, load_bf16(value + 16 * part), sums[part]);
        }
        for (int part = 0; part < parts; part++) store_bf16(out + d + 16 * part, _mm512_mul_ps(sums[part], share));
    }
}

/* Scores of KEYS keys for QUERIES queries, [KEYS][QUERIES], as far as there are so many keys. `pairs` is [D / 2][QUERIES]. */
static void score(const Head *head, const int32_t *pairs, int key, int keys, int position, float *scores) {
    const __m512i lanes = _mm512_add_epi32(_mm512_set1_epi32(position), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512 scale = _mm512_set1_ps(head->scale);
    const int told = key + keys - 1 <= position && (!head->window || position + QUERIES - 1 - key < head->window);
    for (int at = 0; at < keys; at += 4) {
        __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        const bf16 *rows[4];
        for (int i = 0; i < 4; i++) rows[i] = head->keys + (size_t)(key + (at + i < keys ? at + i : keys - 1)) * head->width;
        for (int d = 0; d < head->width; d += 2) {
            __m512bh query = (__m512bh)_mm512_loadu_si512(pairs + (size_t)(d / 2) * QUERIES);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int32_t both;
                __builtin_memcpy(&both, rows[i] + d, sizeof both);
                sums[i] = _mm512_dpbf16_ps(sums[i], query, (__m512bh)_mm512_set1_epi32(both));
            }
        }
        for (int i = 0; i < 4 && at + i < keys; i++) {
            __m512 own = capped(_mm512_mul_ps(sums[i], scale), head);
            if (!told) {
                __m512i where = _mm512_set1_epi32(key + at + i);
                __mmask16 seen = _mm512_cmple_epi32_mask(where, lanes);
                if (head->window) seen &= _mm512_cmpgt_epi32_mask(where, _mm512_sub_epi32(lanes, _mm512_set1_epi32(head->window)));
                own = _mm512_mask_blend_ps(seen, _mm512_set1_ps(UNSEEN), own);
            }
            _mm512_storeu_ps(scores + (size_t)(at + i) * QUERIES, own);
        }
    }
}

/* `count` queries, up to QUERIES, one a lane; the first is at `position`. The softmax is taken as keys come (Milakov and
 * Gimelshein 2018; Dao et al. 2022). `stride` is from one query, and one output, to the next. */
static void attend_some(const Head *head, const bf16 *query, size_t stride, int count, int position, bf16 *out, size_t out_stride) {
    const int width = head->width;
    int32_t pairs[128 * QUERIES];
    float scores[KEYS * QUERIES], sums[QUERIES * 256], shares[QUERIES];
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < width; d += 2)
            __builtin_memcpy(&pairs[(d / 2) * QUERIES + q], query + (size_t)(q < count ? q : count - 1) * stride + d, sizeof(int32_t));
    __builtin_memset(sums, 0, sizeof(float) * QUERIES * (size_t)width);
    __m512 most = _mm512_set1_ps(UNSEEN), total = _mm512_setzero_ps();
    const int end = position + count;
    const int first = head->window && position >= head->window ? position - head->window + 1 : 0;
    for (int key = first; key < end; key += KEYS) {
        const int keys = end - key < KEYS ? end - key : KEYS;
        score(head, pairs, key, keys, position, scores);
        __m512 largest = most;
        for (int at = 0; at < keys; at++) largest = _mm512_max_ps(largest, _mm512_loadu_ps(scores + at * QUERIES));
        const __m512 shrunk = exp_ps(_mm512_sub_ps(most, largest));
        total = _mm512_mul_ps(total, shrunk);
        most = largest;
        for (int at = 0; at < keys; at++) {
            __m512 own = exp_ps(_mm512_sub_ps(_mm512_loadu_ps(scores + at * QUERIES), most));
            _mm512_storeu_ps(scores + at * QUERIES, own);
            total = _mm512_add_ps(total, own);
        }
        _mm512_storeu_ps(shares, shrunk);
        for (int d = 0; d < width; d += 16) {
            __m512 parts[QUERIES];
#pragma GCC unroll 16
            for (int q = 0; q < QUERIES; q++) parts[q] = _mm512_mul_ps(_mm512_loadu_ps(sums + q * width + d), _mm512_set1_ps(shares[q]));
            for (int at = 0; at < keys; at++) {
                const __m512 value = load_bf16(head->values + (size_t)(key + at) * width + d);
#pragma GCC unroll 16
                for (int q = 0; q < QUERIES; q++) parts[q] = _mm512_fmadd_ps(_mm512_set1_ps(scores[at * QUERIES + q]), value, parts[q]);
            }
#pragma GCC unroll 16
            for (int q = 0; q < QUERIES; q++) _mm512_storeu_ps(sums + q * width + d, parts[q]);
        }
    }
    _mm512_storeu_ps(shares, _mm512_div_ps(_mm512_set1_ps(1.0f), total));
    for (int q = 0; q < count; q++)
        for (int d = 0; d < width; d += 16)
            store_bf16(out + (size_t)q * out_stride + d, _mm512_mul_ps(_mm512_loadu_ps(sums + q * width + d), _mm512_set1_ps(shares[q])));
}
