/* Causal attention of one sequence's new tokens to its KV cache, one key head at a time. */
#pragma once
#include "vectors.h"

enum { QUERIES = LANES, KEYS = 64, MOST_WIDTH = 256 };
#define UNSEEN (-1e30f) /* finite: the difference of two of them is a number */

typedef struct {
    const element *keys, *values;  /* [S, D] of one head, the new tokens' included */
    int width;                  /* D: of a head */
    int window;                 /* tokens that a token sees at most, itself included; 0: all */
    float scale, softcap;       /* softcap c: a score s counts as c tanh(s / c); 0: as it is */
} Head;

static inline floats capped(floats scores, const Head *head) {
    if (head->softcap == 0) return scores;
    floats cap = all(head->softcap);
    return cap * tanh_of(scores / cap);
}

/* A single query [D] at `position`, which is the last. `scores` has room for `position` + 1 + LANES floats. */
static void attend_one(const Head *head, const element *query, int position, float *scores, element *out) {
    const int width = head->width;
    const int first = head->window && position >= head->window ? position - head->window + 1 : 0;
    const int count = position + 1 - first;
    const element *keys = head->keys + (size_t)first * width, *values = head->values + (size_t)first * width;
    for (int key = 0; key < count; key++) {
        floats sum = all(0);
        for (int d = 0; d < width; d += LANES * BUNDLE)
            sum = products_and(load_bundles(query + d), load_bundles(keys + (size_t)key * width + d), sum);
        scores[key] = sum_of(sum);
    }
    for (int key = count; key < count + LANES; key++) scores[key] = UNSEEN / head->scale;
    floats most = all(UNSEEN);
    for (int key = 0; key < count; key += LANES) {
        floats own = capped(load(scores + key) * all(head->scale), head);
        if (key + LANES > count) own = in_lanes(0, count - key, own, all(UNSEEN));
        store(scores + key, own);
        most = larger(most, own);
    }
    floats largest = all(largest_of(most)), total = all(0);
    for (int key = 0; key < count; key += LANES) {
        floats own = exp_of(load(scores + key) - largest);
        store(scores + key, own);
        total += own;
    }
    const floats share = all(1.0f / sum_of(total));
    for (int d = 0; d < width; d += 4 * LANES) {
        floats sums[4] = {all(0), all(0), all(0), all(0)};
        const int parts = width - d < 4 * LANES ? (width - d) / LANES : 4;
        for (int key = 0; key < count; key++) {
            const floats weight = all(scores[key]);
            const element *value = values + (size_t)key * width + d;
            for (int part = 0; part < parts; part++) sums[part] = product_and(weight, load_elements(value + LANES * part), sums[part]);
        }
        for (int part = 0; part < parts; part++) store_elements(out + d + LANES * part, sums[part] * share);
    }
}

/* Scores of KEYS keys for QUERIES queries, [KEYS][QUERIES], as far as there are so many keys. `turned` is [D / BUNDLE][QUERIES]. */
static void score(const Head *head, const bundle *turned, int key, int keys, int position, float *scores) {
    const floats scale = all(head->scale);
    const int told = key + keys - 1 <= position && (!head->window || position + QUERIES - 1 - key < head->window);
    for (int at = 0; at < keys; at += 4) {
        floats sums[4] = {all(0), all(0), all(0), all(0)};
        const element *rows[4];
        for (int i = 0; i < 4; i++) rows[i] = head->keys + (size_t)(key + (at + i < keys ? at + i : keys - 1)) * head->width;
        for (int d = 0; d < head->width; d += BUNDLE) {
            const bundles query = load_bundles(turned + (size_t)(d / BUNDLE) * QUERIES);
            UNROLL
            for (int i = 0; i < 4; i++) sums[i] = products_and(query, all_bundles(rows[i] + d), sums[i]);
        }
        for (int i = 0; i < 4 && at + i < keys; i++) {
            floats own = capped(sums[i] * scale, head);
            const int first = key + at + i - position; /* query that sees it */
            if (!told) own = in_lanes(first, head->window ? first + head->window : QUERIES, own, all(UNSEEN));
            store(scores + (size_t)(at + i) * QUERIES, own);
        }
    }
}

/* `count` queries, up to QUERIES, one a lane; the first is at `position`. The softmax is taken as keys come (Milakov and
 * Gimelshein 2018; Dao et al. 2022). `stride` is from one query, and one output, to the next. */
static void attend_some(const Head *head, const element *query, size_t stride, int count, int position, element *out, size_t out_stride) {
    const int width = head->width;
    bundle turned[MOST_WIDTH / BUNDLE * QUERIES];
    float scores[KEYS * QUERIES], sums[QUERIES * MOST_WIDTH], shares[QUERIES];
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < width; d += BUNDLE)
            __builtin_memcpy(&turned[(d / BUNDLE) * QUERIES + q], query + (size_t)(q < count ? q : count - 1) * stride + d, sizeof(bundle));
    __builtin_memset(sums, 0, sizeof(float) * QUERIES * (size_t)width);
    floats most = all(UNSEEN), total = all(0);
    const int end = position + count;
    const int first = head->window && position >= head->window ? position - head->window + 1 : 0;
    for (int key = first; key < end; key += KEYS) {
        const int keys = end - key < KEYS ? end - key : KEYS;
        score(head, turned, key, keys, position, scores);
        floats largest = most;
        for (int at = 0; at < keys; at++) largest = larger(largest, load(scores + at * QUERIES));
        const floats shrunk = exp_of(most - largest);
        total *= shrunk;
        most = largest;
        for (int at = 0; at < keys; at++) {
            floats own = exp_of(load(scores + at * QUERIES) - most);
            store(scores + at * QUERIES, own);
            total += own;
        }
        store(shares, shrunk);
        for (int d = 0; d < width; d += LANES) {
            floats parts[QUERIES];
            UNROLL
            for (int q = 0; q < QUERIES; q++) parts[q] = load(sums + q * width + d) * all(shares[q]);
            for (int at = 0; at < keys; at++) {
                const floats value = load_elements(head->values + (size_t)(key + at) * width + d);
                UNROLL
                for (int q = 0; q < QUERIES; q++) parts[q] = product_and(all(scores[at * QUERIES + q]), value, parts[q]);
            }
            UNROLL
            for (int q = 0; q < QUERIES; q++) store(sums + q * width + d, parts[q]);
        }
    }
    store(shares, all(1.0f) / total);
    for (int q = 0; q < count; q++)
        for (int d = 0; d < width; d += LANES)
            store_elements(out + (size_t)q * out_stride + d, load(sums + q * width + d) * all(shares[q]));
}
