/* One pass of a decoder of Llama's kind over tokens of several sequences, from their embeddings to logits.
 *
 * All threads go through the same stages; a stage's pieces go to whoever is free. Between stages all wait for all.
 */
#include <math.h>
#include "attention.h"
#include "products.h"
#include "team.h"
#include "vectors.h"

enum Slot { QUERY, KEY, VALUE, OUT, GATE, UP, DOWN, SLOTS };
enum { STAGES_A_LAYER = 16, ROWS_AT_ONCE = 8 };
enum Activation { SILU, GELU_TANH };

typedef struct {
    const float *before_attention, *after_attention, *before_mlp, *after_mlp; /* norms' weights [E]; `after` may be NULL */
    const float *query_norm, *key_norm;                                        /* [D] or NULL */
    Matrix matrices[SLOTS];
    int32_t window;
    int32_t rope; /* which of the pass's rotations */
} Layer;

typedef struct {
    int32_t layers, hidden, heads, key_heads, width, rotated, inner, activation;
    float eps, scale, softcap;
    const Layer *layer;
    const float *last_norm;
    Matrix head;
} Model;

/* What an adapter adds to one matrix: x A^T B^T, with A [r, I] and B^T [r, O]. */
typedef struct { const float *a, *b; int32_t rank, stride; /* of B^T's rows, which may be a part of longer ones */ } Lora;

typedef struct { int32_t first, end, first_kept, end_kept; const Lora *lora; /* [layers * SLOTS + 1]: of each matrix in the order of the layers, the output layer last */ } Span;

/* The cache is [layers, 2, key heads, capacity, D]. */
typedef struct { int32_t row, tokens, start, capacity; element *cache; } Chunk;

typedef struct {
    int32_t rows, chunks, spans, kept;
    float *residual;                  /* [rows, E]: embeddings, and then what each layer makes of them */
    const float *cos[2], *sin[2];     /* [rows, rotated] */
    const Chunk *chunk;
    const Span *span;
    const int32_t *kept_rows;
    float *logits;                    /* [kept, V] */
    char *scratch;                    /* of lathe_scratch bytes */
} Pass;

typedef struct {
    const Model *model;
    const Pass *pass;
    element *normed, *attended, *active; /* [rows, E], [rows, heads * D], [rows, I] */
    float *made;                      /* [rows, queries, keys and values; or E]: what is not yet rotated, or normed */
    float *low_rank;                  /* [3, rows, most_rank] */
    char *own;                        /* of each thread, own_bytes */
    int32_t most_rank;
    size_t own_bytes;
} State;

static size_t lined(size_t bytes) { return (bytes + 63) / 64 * 64; }

static int most_rank_of(const Model *model, const Pass *pass) {
    int most = 0;
    for (int s = 0; s < pass->spans; s++)
        for (int at = 0; at <= model->layers * SLOTS; at++)
            if (pass->span[s].lora[at].rank > most) most = pass->span[s].lora[at].rank;
    return most;
}

static size_t lay_out(State *state, const Model *model, const Pass *pass, int threads) {
    size_t rows = (size_t)pass->rows, heads = (size_t)model->heads * model->width;
    size_t made = heads + 2 * (size_t)model->key_heads * model->width;
    int longest = 0;
    for (int c = 0; c < pass->chunks; c++) {
        int length = pass->chunk[c].start + pass->chunk[c].tokens;
        if (length > longest) longest = length;
    }
    if (made < (size_t)model->hidden) made = (size_t)model->hidden;
    state->model = model;
    state->pass = pass;
    state->most_rank = most_rank_of(model, pass);
    char *at = pass->scratch;
    state->normed = (element *)at, at += lined(sizeof(element) * rows * model->hidden);
    state->attended = (element *)at, at += lined(sizeof(element) * rows * heads);
    state->active = (element *)at, at += lined(sizeof(element) * rows * model->inner);
    state->made = (float *)at, at += lined(sizeof(float) * rows * made);
    state->low_rank = (float *)at, at += lined(sizeof(float) * 3 * rows * state->most_rank);
    state->own = at;
    size_t tiles = sizeof(float) * 2 * TILE * (rows < 4 ? 4 : rows), scores = sizeof(float) * ((size_t)longest + 32);
    state->own_bytes = lined(tiles > scores ? tiles : scores);
    return (size_t)(at - pass->scratch) + state->own_bytes * threads;
}

/* RMSNorm (Zhang and Sennrich 2019) of a row. */
static float root(const float *row, int size, float eps) {
    floats sum = all(0);
    for (int at = 0; at < size; at += LANES) {
        floats x = load(row + at);
        sum = product_and(x, x, sum);
    }
    return 1.0f / sqrtf(sum_of(sum) / size + eps);
}

static void norm(const float *row, const float *weight, int size, float eps, element *out) {
    const floats by = all(root(row, size, eps));
    for (int at = 0; at < size; at += LANES)
        store_elements(out + at, load(row + at) * by * load(weight + at));
}

static void norm_and_add(const float *row, const float *weight, int size, float eps, float *to) {
    const floats by = all(root(row, size, eps));
    for (int at = 0; at < size; at += LANES) {
        floats normed = load(row + at) * by * load(weight + at);
        store(to + at, load(to + at) + normed);
    }
}

/* A head's row, normed where the model does so and rotated (RoPE, Su et al. 2021). */
static void rotate(float *row, const float *weight, const Model *model, const float *cos, const float *sin, element *out) {
    const int width = model->width, half = model->rotated / 2;
    float turned[MOST_WIDTH];
    const float by = weight ? root(row, width, model->eps) : 1.0f;
    for (int d = 0; d < width; d++) turned[d] = weight ? row[d] * by * weight[d] : row[d];
    for (int d = 0; d < half; d++) {
        float first = turned[d], second = turned[d + half];
        turned[d] = first * cos[d] - second * sin[d];
        turned[d + half] = second * cos[d + half] + first * sin[d + half];
    }
    for (int d = 0; d < width; d += LANES) store_elements(out + d, load(turned + d));
}

/* Rows [first, end) of x A^T for one adapter and matrix, into low_rank. */
static void to_low_rank(const State *state, const Lora *lora, int slot, int inputs, const element *x, size_t stride, int first, int end) {
    const size_t most = (size_t)state->most_rank;
    float *out = state->low_rank + (size_t)slot * state->pass->rows * most;
    for (int row = first; row < end; row++)
        for (int r = 0; r < lora->rank; r++) {
            const float *a = lora->a + (size_t)r * inputs;
            floats sums[2] = {all(0), all(0)};
            for (int k = 0; k < inputs; k += 2 * LANES) {
                sums[0] = product_and(load_elements(x + row * stride + k), load(a + k), sums[0]);
                sums[1] = product_and(load_elements(x + row * stride + k + LANES), load(a + k + LANES), sums[1]);
            }
            out[(size_t)row * most + r] = sum_of(sums[0] + sums[1]);
        }
}

typedef struct { int first, end; } Rows;

/* Those of a span's adapter: of the output layer, whose rows are the kept ones alone, others than elsewhere. */
static Rows rows_of(const Span *span, int is_head) {
    return is_head ? (Rows){span->first_kept, span->end_kept} : (Rows){span->first, span->end};
}

/* x A^T of `count` matrices that share their input. A barrier follows, where there are any. Returns the next stage. */
static int low_ranks(Team *team, const State *state, int stage, int matrix, int count, int inputs, const element *x, size_t stride, int is_head) {
    const Pass *pass = state->pass;
    if (state->most_rank == 0) return stage;
    int pieces = 0;
    for (int s = 0; s < pass->spans; s++) {
        const Rows rows = rows_of(pass->span + s, is_head);
        pieces += (rows.end - rows.first + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE * count;
    }
    for (int piece; (piece = take(team, stage, 1, pieces)) < pieces;) {
        int left = piece;
        for (int s = 0; s < pass->spans; s++) {
            const Span *span = pass->span + s;
            const Rows rows = rows_of(span, is_head);
            int own = (rows.end - rows.first + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE * count;
            if (left >= own) {
                left -= own;
                continue;
            }
            int slot = left % count, from = rows.first + left / count * ROWS_AT_ONCE;
            const Lora *lora = span->lora + matrix + slot;
            if (lora->rank) to_low_rank(state, lora, slot, inputs, x, stride, from, from + ROWS_AT_ONCE < rows.end ? from + ROWS_AT_ONCE : rows.end);
            break;
        }
    }
    together(team);
    return stage + 1;
}

/* Bias and adapters of a tile. */
static void complete(const State *state, const Matrix *m, int tile, int matrix, int slot, int rows, float *out, int is_head) {
    const Pass *pass = state->pass;
    const int at = tile * TILE;
    if (m->bias)
        for (int row = 0; row < rows; row++) {
            float *own = out + (size_t)row * TILE;
            for (int o = 0; o < TILE; o += LANES) store(own + o, load(own + o) + load(m->bias + at + o));
        }
    const size_t most = (size_t)state->most_rank;
    for (int s = 0; s < pass->spans; s++) {
        const Span *span = pass->span + s;
        const Lora *lora = span->lora + matrix;
        if (!lora->rank) continue;
        const Rows own_rows = rows_of(span, is_head);
        for (int row = own_rows.first; row < own_rows.end; row++) {
            const float *low_rank = state->low_rank + ((size_t)slot * pass->rows + row) * most;
            float *own = out + (size_t)row * TILE;
            floats sums[TILE / LANES];
            for (int i = 0; i < TILE / LANES; i++) sums[i] = all(0);
            for (int r = 0; r < lora->rank; r++) {
                const float *b = lora->b + (size_t)r * lora->stride + at;
                for (int i = 0; i < TILE / LANES; i++) sums[i] = product_and(all(low_rank[r]), load(b + i * LANES), sums[i]);
            }
            for (int i = 0; i < TILE / LANES; i++) store(own + i * LANES, load(own + i * LANES) + sums[i]);
        }
    }
}

/* Two tiles of a single row at once, where the matrix has them. Returns how many. */
static int tiles_at(const Matrix *m, int tile, const element *x, size_t stride, int rows, float *out) {
    if (rows == 1 && m->kind == NF4 && (tile + 2) * TILE <= m->outputs) {
        nf4_two_tiles(m, tile, x, out);
        return 2;
    }
    tile_of(m, tile, x, stride, rows, out);
    return 1;
}

/* The first `outputs` of a tile. */
static void put(const float *tile, int rows, int outputs, float *out, size_t stride, int adds) {
    if (outputs < TILE) { /* the end of an output layer */
        for (int row = 0; row < rows; row++) memcpy(out + row * stride, tile + (size_t)row * TILE, sizeof(float) * (size_t)outputs);
        return;
    }
    for (int row = 0; row < rows; row++)
        for (int o = 0; o < TILE; o += LANES) {
            float *to = out + row * stride + o;
            floats own = load(tile + (size_t)row * TILE + o);
            if (adds) own += load(to);
            store(to, own);
        }
}

/* y = x W^T + ... of one matrix; `out` has the output's first column. */
static void multiply(Team *team, const State *state, int stage, float *buffer, const Matrix *m, int matrix, const element *x, size_t stride, int rows, float *out, size_t out_stride, int adds, int is_head) {
    const int tiles = (m->outputs + TILE - 1) / TILE, at_once = rows == 1 ? 2 : 1;
    for (int first; (first = take(team, stage, at_once, tiles)) < tiles;)
        for (int tile = first; tile < first + at_once && tile < tiles;) {
            int made = tiles_at(m, tile, x, stride, rows, buffer);
            for (int i = 0; i < made; i++, tile++) {
                complete(state, m, tile, matrix, 0, rows, buffer + i * TILE, is_head);
                put(buffer + i * TILE, rows, m->outputs - tile * TILE, out + (size_t)tile * TILE, out_stride, adds);
            }
        }
}

static void norms(Team *team, const State *state, int stage, const float *weight) {
    const Pass *pass = state->pass;
    const int hidden = state->model->hidden;
    for (int row; (row = take(team, stage, 1, pass->rows)) < pass->rows;)
        norm(pass->residual + (size_t)row * hidden, weight, hidden, state->model->eps, state->normed + (size_t)row * hidden);
    together(team);
}

/* Add what was made, normed. */
static int add_normed(Team *team, const State *state, int stage, const float *weight) {
    if (!weight) return stage;
    const Pass *pass = state->pass;
    const int hidden = state->model->hidden;
    for (int row; (row = take(team, stage, 1, pass->rows)) < pass->rows;)
        norm_and_add(state->made + (size_t)row * hidden, weight, hidden, state->model->eps, pass->residual + (size_t)row * hidden);
    together(team);
    return stage + 1;
}

/* Queries, keys and values. */
static void project(Team *team, const State *state, int stage, float *buffer, const Layer *layer, int matrix, size_t stride) {
    const Model *model = state->model;
    const Pass *pass = state->pass;
    const Matrix *m = layer->matrices;
    const int ends[3] = {m[QUERY].outputs / TILE, (m[QUERY].outputs + m[KEY].outputs) / TILE, (m[QUERY].outputs + m[KEY].outputs + m[VALUE].outputs) / TILE};
    const int at_once = pass->rows == 1 ? 2 : 1;
    for (int first; (first = take(team, stage, at_once, ends[2])) < ends[2];)
        for (int tile = first; tile < first + at_once && tile < ends[2];) {
            const int slot = tile < ends[0] ? QUERY : tile < ends[1] ? KEY : VALUE;
            const int begin = slot == QUERY ? 0 : ends[slot - 1];
            int made = first + at_once - tile == 2 ? tiles_at(m + slot, tile - begin, state->normed, model->hidden, pass->rows, buffer)
                                                   : (tile_of(m + slot, tile - begin, state->normed, model->hidden, pass->rows, buffer), 1);
            for (int i = 0; i < made; i++, tile++) {
                complete(state, m + slot, tile - begin, matrix + slot, slot, pass->rows, buffer + i * TILE, 0);
                put(buffer + i * TILE, pass->rows, TILE, state->made + (size_t)tile * TILE, stride, 0);
            }
        }
    together(team);
}

static element *cache_at(const Model *model, const Chunk *chunk, int layer, int part, int head) {
    return chunk->cache + (((size_t)layer * 2 + part) * model->key_heads + head) * chunk->capacity * model->width;
}

static const Chunk *chunk_of(const Pass *pass, int row) {
    const Chunk *chunk = pass->chunk;
    while (row >= chunk->row + chunk->tokens) chunk++;
    return chunk;
}

/* Rotated queries stay, as elements, at the beginning of their row of `made`; keys and values go into the caches. */
static void remember(Team *team, const State *state, int stage, const Layer *layer, int number, size_t stride) {
    const Model *model = state->model;
    const Pass *pass = state->pass;
    const int width = model->width;
    for (int row; (row = take(team, stage, 1, pass->rows)) < pass->rows;) {
        const Chunk *chunk = chunk_of(pass, row);
        const float *cos = pass->cos[layer->rope] + (size_t)row * model->rotated, *sin = pass->sin[layer->rope] + (size_t)row * model->rotated;
        const size_t at = (size_t)(chunk->start + row - chunk->row) * width;
        float *made = state->made + row * stride;
        float *keys = made + (size_t)model->heads * width, *values = keys + (size_t)model->key_heads * width;
        for (int head = 0; head < model->heads; head++)
            rotate(made + (size_t)head * width, layer->query_norm, model, cos, sin, (element *)made + (size_t)head * width);
        for (int head = 0; head < model->key_heads; head++) {
            rotate(keys + (size_t)head * width, layer->key_norm, model, cos, sin, cache_at(model, chunk, number, 0, head) + at);
            element *to = cache_at(model, chunk, number, 1, head) + at;
            for (int d = 0; d < width; d += LANES) store_elements(to + d, load(values + (size_t)head * width + d));
        }
    }
    together(team);
}

static void attend(Team *team, const State *state, int stage, float *scores, const Layer *layer, int number, size_t stride) {
    const Model *model = state->model;
    const Pass *pass = state->pass;
    const int width = model->width, shared = model->heads / model->key_heads;
    const size_t out_stride = (size_t)model->heads * width;
    int pieces = 0;
    for (int c = 0; c < pass->chunks; c++) pieces += (pass->chunk[c].tokens + QUERIES - 1) / QUERIES * model->key_heads;
    for (int piece; (piece = take(team, stage, 1, pieces)) < pieces;) {
        const Chunk *chunk = pass->chunk;
        int left = piece;
        for (;; chunk++) {
            int own = (chunk->tokens + QUERIES - 1) / QUERIES * model->key_heads;
            if (left < own) break;
            left -= own;
        }
        const int key_head = left % model->key_heads, first = left / model->key_heads * QUERIES;
        const int count = chunk->tokens - first < QUERIES ? chunk->tokens - first : QUERIES;
        const Head head = {cache_at(model, chunk, number, 0, key_head), cache_at(model, chunk, number, 1, key_head), width, layer->window, model->scale, model->softcap};
        for (int h = key_head * shared; h < (key_head + 1) * shared; h++) {
            const int row = chunk->row + first;
            const element *query = (const element *)(state->made + row * stride) + (size_t)h * width;
            element *out = state->attended + row * out_stride + (size_t)h * width;
            if (chunk->tokens == 1) attend_one(&head, query, chunk->start, scores, out);
            else attend_some(&head, query, stride * (sizeof(float) / sizeof(element)), count, chunk->start + first, out, out_stride);
        }
    }
    together(team);
}

/* activation(gate) * up */
static void activate(const float *gate, const float *up, int rows, int activation, element *out, size_t stride) {
    for (int row = 0; row < rows; row++)
        for (int o = 0; o < TILE; o += LANES) {
            floats x = load(gate + (size_t)row * TILE + o), by;
            if (activation == SILU) {
                by = sigmoid_of(x);
            } else { /* Hendrycks and Gimpel 2016: x / 2 (1 + tanh z) is x sigmoid(2 z) */
                floats cube = x * x * x;
                floats z = all(1.59576912f) * product_and(all(0.044715f), cube, x);
                by = sigmoid_of(z);
            }
            store_elements(out + row * stride + o, x * by * load(up + (size_t)row * TILE + o));
        }
}

static void widen(Team *team, const State *state, int stage, float *buffer, const Layer *layer, int matrix) {
    const Model *model = state->model;
    const int rows = state->pass->rows, tiles = model->inner / TILE;
    float *other = buffer + (size_t)rows * TILE;
    for (int tile; (tile = take(team, stage, 1, tiles)) < tiles;) {
        tile_of(layer->matrices + GATE, tile, state->normed, model->hidden, rows, buffer);
        complete(state, layer->matrices + GATE, tile, matrix + GATE, 0, rows, buffer, 0);
        tile_of(layer->matrices + UP, tile, state->normed, model->hidden, rows, other);
        complete(state, layer->matrices + UP, tile, matrix + UP, 1, rows, other, 0);
        activate(buffer, other, rows, model->activation, state->active + (size_t)tile * TILE, model->inner);
    }
    together(team);
}

static void work(Team *team, int thread, void *of) {
    const State *state = of;
    const Model *model = state->model;
    const Pass *pass = state->pass;
    const size_t heads = (size_t)model->heads * model->width, made = heads + 2 * (size_t)model->key_heads * model->width;
    float *buffer = (float *)(state->own + thread * state->own_bytes);
    int stage = 0;
    for (int number = 0; number < model->layers; number++) {
        const Layer *layer = model->layer + number;
        const int matrix = number * SLOTS;
        norms(team, state, stage++, layer->before_attention);
        stage = low_ranks(team, state, stage, matrix + QUERY, 3, model->hidden, state->normed, model->hidden, 0);
        project(team, state, stage++, buffer, layer, matrix, made);
        remember(team, state, stage++, layer, number, made);
        attend(team, state, stage++, buffer, layer, number, made);
        stage = low_ranks(team, state, stage, matrix + OUT, 1, heads, state->attended, heads, 0);
        float *out = layer->after_attention ? state->made : pass->residual;
        multiply(team, state, stage++, buffer, layer->matrices + OUT, matrix + OUT, state->attended, heads, pass->rows, out, model->hidden, !layer->after_attention, 0);
        together(team);
        stage = add_normed(team, state, stage, layer->after_attention);
        norms(team, state, stage++, layer->before_mlp);
        stage = low_ranks(team, state, stage, matrix + GATE, 2, model->hidden, state->normed, model->hidden, 0);
        widen(team, state, stage++, buffer, layer, matrix);
        stage = low_ranks(team, state, stage, matrix + DOWN, 1, model->inner, state->active, model->inner, 0);
        out = layer->after_mlp ? state->made : pass->residual;
        multiply(team, state, stage++, buffer, layer->matrices + DOWN, matrix + DOWN, state->active, model->inner, pass->rows, out, model->hidden, !layer->after_mlp, 0);
        together(team);
        stage = add_normed(team, state, stage, layer->after_mlp);
    }
    const size_t hidden = (size_t)model->hidden;
    for (int at; (at = take(team, stage, 1, pass->kept)) < pass->kept;)
        norm(pass->residual + pass->kept_rows[at] * hidden, model->last_norm, model->hidden, model->eps, state->normed + at * hidden);
    together(team);
    stage = low_ranks(team, state, stage + 1, model->layers * SLOTS, 1, model->hidden, state->normed, hidden, 1);
    multiply(team, state, stage, buffer, &model->head, model->layers * SLOTS, state->normed, hidden, pass->kept, pass->logits, model->head.outputs, 0, 1);
}

void *lathe_assemble(int threads) { return assemble(threads); }

int64_t lathe_scratch(const Team *team, const Model *model, const Pass *pass) {
    State state;
    return (int64_t)lay_out(&state, model, pass, team->size);
}

/* Returns non-zero for want of memory. */
int lathe_pass(Team *team, const Model *model, const Pass *pass) {
    State state;
    lay_out(&state, model, pass, team->size);
    return call(team, work, &state, model->layers * STAGES_A_LAYER + 4);
}
