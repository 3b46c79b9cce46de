/* Decision trees flattened into arrays: predictions and leaves.
 *
 * A home is asked once what every split would ask: its value of a feature becomes its rank among the thresholds of
 * that feature, and a question about categories becomes 0 or 1. A node then only compares two small integers, so
 * the answers are LightGBM's own, missing values and categories included, and leaf values are added in its order.
 */

#include "forest.h"

#include <math.h>
#include <string.h>

#define SIDE_BY_SIDE 8 /* trees that one home walks at once */
#define ROWS 16        /* homes that walk a tree side by side */
#define FEW_ROWS 3     /* that are worth it, whatever the places left empty cost */
#define FEW_THRESHOLDS 256 /* counted sooner than looked for, where homes stand side by side */
#define RIGHT_ALWAYS 65535
#define INLINE static inline __attribute__((always_inline)) /* numbers of homes become constants */

typedef uint16_t ranks __attribute__((vector_size(2 * ROWS)));
typedef int32_t bits __attribute__((vector_size(4 * ROWS)));
typedef uint32_t words __attribute__((vector_size(4 * ROWS)));

/* How a question treats what is missing; as LightGBM's decision types do. */
enum { MISSING_NONE, MISSING_ZERO, MISSING_NAN, CATEGORICAL };

static int is_zero(double x) { return fabs(x) <= 1.0000000180025095e-35; }

/* The first threshold that is not below x; without branches, half of which would be guessed wrong. */
static uint16_t rank_of(const double *thresholds, int32_t count, double x)
{
    const double *from = thresholds;
    for (; count > 1; count -= count / 2) from += from[count / 2 - 1] < x ? count / 2 : 0;
    return (uint16_t)(from - thresholds + (count == 1 && *from < x));
}

/* The same of homes side by side: as many thresholds as are below x. */
INLINE void ranks_of(const double *thresholds, int32_t count, const double *x, int32_t homes, int64_t *ranks)
{
    for (int32_t r = 0; r < homes; r++) ranks[r] = 0;
    for (int32_t i = 0; i < count; i++)
        for (int32_t r = 0; r < homes; r++) ranks[r] += thresholds[i] < x[r];
}

static inline int is_missing(int kind, double x)
{
    return (kind == MISSING_NAN && isnan(x)) || (kind == MISSING_ZERO && (isnan(x) || is_zero(x)));
}

/* Each home's rank in a slot, or which side it goes where its value is missing. */
INLINE void rank_or_side(const forest *f, int32_t s, const double *rows, int32_t homes, uint16_t *asked)
{
    const int32_t start = f->slot_start[s], count = f->slot_start[s + 1] - start;
    const int kind = f->slot_kind[s];
    const uint16_t side = f->slot_default_left[s] ? 0 : RIGHT_ALWAYS;
    double x[ROWS];
    int64_t ranks[ROWS];
    for (int32_t r = 0; r < homes; r++) {
        const double given = rows[r * f->features + f->slot_feature[s]];
        x[r] = isnan(given) ? 0.0 : given;
    }
    if (homes > 1 && count <= FEW_THRESHOLDS)
        ranks_of(f->thresholds + start, count, x, homes, ranks);
    else
        for (int32_t r = 0; r < homes; r++) ranks[r] = rank_of(f->thresholds + start, count, x[r]);
    for (int32_t r = 0; r < homes; r++) asked[r] = (uint16_t)ranks[r];
    if (kind == MISSING_NONE) return;
    for (int32_t r = 0; r < homes; r++)
        if (is_missing(kind, rows[r * f->features + f->slot_feature[s]])) asked[r] = side;
}

int32_t leaf_of(const forest *f, int32_t tree, const uint16_t *asked, int32_t apart)
{
    const node *nodes = f->nodes + f->node_start[tree];
    if (f->node_start[tree + 1] == f->node_start[tree]) return 0; /* a single leaf */
    int32_t at = 0;
    do at = nodes[at].child[asked[nodes[at].slot * apart] > nodes[at].rank];
    while (at < FIRST_LEAF);
    return at - FIRST_LEAF;
}

/* A category as a whole number; a negative one or NaN becomes what no bit stands for, and -0.5 is cut to 0. */
static uint32_t category_of(double x) { return x > -1 && x < INT32_MAX ? (uint32_t)x : UINT32_MAX; }

/* Most questions are about few features' categories: these lie behind the others, feature by feature, and each is read
 * once. A category that has no bit goes right. */
INLINE void ask_of(const forest *f, const double *rows, int32_t homes, uint16_t *restrict asked)
{
    const int32_t slots = f->slots, *start = f->slot_start, *features = f->slot_feature;
    int32_t s = 0;
    for (; s < slots && f->slot_kind[s] != CATEGORICAL; s++) rank_or_side(f, s, rows, homes, asked + s * homes);
    while (s < slots) {
        const int32_t feature = features[s];
        words which = {0}, at = {0};
        for (int32_t r = 0; r < homes; r++) {
            const uint32_t category = category_of(rows[r * f->features + feature]);
            which[r] = category >> 5;
            at[r] = category & 31;
        }
        for (; s < slots && features[s] == feature; s++) {
            const uint32_t *told = f->words + start[s], count = start[s + 1] - start[s];
            words its = {0};
            for (uint32_t w = 0; w < count; w++) its |= told[w] & (words)(which == w);
            const ranks side = __builtin_convertvector(1 ^ ((its >> at) & 1), ranks);
            memcpy(asked + s * homes, &side, homes * sizeof *asked);
        }
    }
}

void ask(const forest *f, const double *rows, int32_t count, uint16_t *asked)
{
    switch (count) {
    case 1: ask_of(f, rows, 1, asked); break;
    case 4: ask_of(f, rows, 4, asked); break;
    case 8: ask_of(f, rows, 8, asked); break;
    default: ask_of(f, rows, ROWS, asked);
    }
}

/* Trees walk several at a time: one alone would wait for each node it loads, and be guessed wrong at each leaf. */
static void sum_leaves(const forest *f, const double *row, uint16_t *asked, double *told)
{
    ask(f, row, 1, asked);
    double sum = 0.0;
    int32_t tree = 0;
    for (; tree + SIDE_BY_SIDE <= f->trees; tree += SIDE_BY_SIDE) {
        uint32_t at[SIDE_BY_SIDE], walking = 0;
        for (int i = 0; i < SIDE_BY_SIDE; i++) {
            at[i] = f->node_start[tree + i + 1] == f->node_start[tree + i] ? FIRST_LEAF : 0;
            walking += at[i] < FIRST_LEAF;
        }
        while (walking) {
            walking = 0;
            for (int i = 0; i < SIDE_BY_SIDE; i++) {
                uint32_t here = at[i] < FIRST_LEAF ? at[i] : 0;
                const node *n = f->nodes + f->node_start[tree + i] + here;
                uint32_t next = n->child[asked[n->slot] > n->rank];
                at[i] = at[i] < FIRST_LEAF ? next : at[i];
                walking += at[i] < FIRST_LEAF;
            }
        }
        for (int i = 0; i < SIDE_BY_SIDE; i++) sum += f->value[f->leaf_start[tree + i] + at[i] - FIRST_LEAF];
    }
    for (; tree < f->trees; tree++) sum += f->value[f->leaf_start[tree] + leaf_of(f, tree, asked, 1)];
    *told = sum;
}

/* ROWS homes side by side (QuickScorer; Lucchese et al. 2015, doi:10.1145/2766462.2767733): a split that a home fails
 * strikes out the leaves to its left, and the first leaf that is left is the home's. */
static void sum_leaves_of_rows(const forest *f, const double *rows, uint16_t *asked, double *told)
{
    ask(f, rows, ROWS, asked);
    double sum[ROWS] = {0};
    for (int32_t i = 0; i < f->trees; i++) {
        bits open = {0};
        open = ~open;
        for (const node *n = f->nodes + f->node_start[i], *end = f->nodes + f->node_start[i + 1]; n < end; n++) {
            ranks own;
            memcpy(&own, asked + n->slot * ROWS, sizeof own);
            open &= ~__builtin_convertvector(own > n->rank, bits) | (int32_t)n->spares;
        }
        const double *value = f->ordered + f->leaf_start[i];
        for (int32_t r = 0; r < ROWS; r++) sum[r] += value[__builtin_ctz(open[r])];
    }
    memcpy(told, sum, sizeof sum);
}

static void step_aside(const double *row, const double *aside, int32_t features, double *moved)
{
    for (int32_t j = 0; j < features; j++) moved[j] = row[j] + aside[j];
}

/* The mean of the forests for each home. Forest i is asked about the home moved by aside[i]; `asked` has room for
 * ROWS * slots ranks and `moved` for ROWS homes. */
void predict(const forest *bag, int32_t forests, const double *aside, const double *rows, int64_t count,
             uint16_t *asked, double *moved, double *told)
{
    int32_t features = bag->features;
    for (int64_t done = 0; done < count; done += ROWS) {
        int32_t here = count - done < ROWS ? (int32_t)(count - done) : ROWS;
        double sum[ROWS] = {0}, one[ROWS];
        for (int32_t i = 0; i < forests; i++) {
            const forest *f = bag + i;
            const int32_t walked = here >= FEW_ROWS && f->small ? ROWS : here; /* a register may have empty places */
            for (int32_t r = 0; r < walked; r++)
                step_aside(rows + (done + r % here) * features, aside + i * features, features, moved + r * features);
            if (walked == ROWS && f->small)
                sum_leaves_of_rows(f, moved, asked, one);
            else
                for (int32_t r = 0; r < here; r++) sum_leaves(f, moved + r * features, asked, one + r);
            for (int32_t r = 0; r < here; r++) sum[r] += one[r];
        }
        for (int32_t r = 0; r < here; r++) told[done + r] = sum[r] / forests;
    }
}

/* The leaf of one home in the first `trees` trees of each forest: forests * trees numbers. */
void leaves(const forest *bag, int32_t forests, const double *aside, const double *row, int32_t trees,
            uint16_t *asked, double *moved, uint16_t *told)
{
    for (int32_t i = 0; i < forests; i++) {
        step_aside(row, aside + i * bag->features, bag->features, moved);
        ask(bag + i, moved, 1, asked);
        for (int32_t k = 0; k < trees; k++) told[i * trees + k] = (uint16_t)leaf_of(bag + i, k, asked, 1);
    }
}
