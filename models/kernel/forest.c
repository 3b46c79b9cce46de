/* Decision trees flattened into arrays: predictions, leaves and exact contributions.
 *
 * A home is asked once what every split would ask: its value of a feature becomes its rank among the thresholds of
 * that feature, and a question about categories becomes 0 or 1. A node then only compares two small integers, so
 * the answers are LightGBM's own, missing values and categories included, and leaf values are added in its order.
 *
 * Contributions are path-dependent TreeSHAP (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9). With z the share
 * of a node's training rows that an edge passes on and o whether the home passes it, a feature's contribution is
 *
 *     sum over leaves of  v * (o_f - z_f) * integral over t in 0..1 of  prod over other features (t o + (1 - t) z)
 *
 * and the integrand is a polynomial, so Gauss-Legendre quadrature with n points is exact for up to 2n features on a
 * path. One walk down multiplies the factors, one walk up adds the leaves: a tree costs time linear in its leaves.
 * All sums run in a fixed order, and no multiplication is fused with an addition: the bits are the same everywhere.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST_NODES 1024 /* of a tree */
#define FIRST_LEAF 1032 /* a little further: else products of nodes and leaves would share their places in the cache */
#define SIDE_BY_SIDE 8  /* trees that one home walks at once */
#define ROWS 16         /* homes that walk a tree side by side */
#define RIGHT_ALWAYS 65535

/* How a question treats what is missing; as LightGBM's decision types do. */
enum { MISSING_NONE, MISSING_ZERO, MISSING_NAN, CATEGORICAL };

typedef struct {
    uint16_t slot, rank;     /* left where the home's rank of the slot is at most this */
    uint16_t child[2];       /* left, right, each after its parent; a leaf counts from FIRST_LEAF */
    uint16_t earlier;        /* 1 + the edge above, 2 * node + side, that asks of the same feature; 0 where none does */
    uint16_t feature;
    uint32_t spares;         /* the leaves, from left to right, that stay possible where a home goes right, as bits */
    double share;            /* of its training rows, what goes left */
} node;

typedef struct {
    int32_t trees, features, slots, small; /* small: no tree has more leaves than `spares` has bits */
    /* questions: of the forest's s-th slot, s in slots */
    const int32_t *slot_feature;
    const uint8_t *slot_kind, *slot_default_left;
    const int32_t *slot_start; /* slots + 1: into thresholds, or into words for categories */
    const double *thresholds;  /* ascending within a slot */
    const uint32_t *words;     /* bit c of a question's words: category c goes left */
    /* trees */
    const int32_t *node_start, *leaf_start; /* trees + 1 */
    const node *nodes;
    const double *value;   /* of the leaves, by their numbers */
    const double *ordered; /* of the leaves, from left to right */
    const uint8_t *points; /* of quadrature that are exact for the tree: 4, 8 or 16 */
} forest;

static int is_zero(double x) { return fabs(x) <= 1.0000000180025095e-35; }

static uint16_t rank_of(const double *thresholds, int32_t count, double x)
{
    int32_t low = 0;
    while (count > 0) { /* the first threshold that is not below x */
        int32_t half = count / 2;
        if (thresholds[low + half] < x) {
            low += half + 1;
            count -= half + 1;
        } else
            count = half;
    }
    return (uint16_t)low;
}

static uint16_t answer(const forest *f, int32_t s, const double *row)
{
    double x = row[f->slot_feature[s]];
    int32_t start = f->slot_start[s], count = f->slot_start[s + 1] - start;
    switch (f->slot_kind[s]) {
    case CATEGORICAL: {
        if (!(x > -1 && x < 32.0 * count)) return 1; /* NaN and what no bit stands for; -0.5 is cut to 0 */
        int32_t c = (int32_t)x;
        return !((f->words[start + (c >> 5)] >> (c & 31)) & 1);
    }
    case MISSING_NAN:
        if (isnan(x)) return f->slot_default_left[s] ? 0 : RIGHT_ALWAYS;
        break;
    case MISSING_ZERO:
        if (isnan(x) || is_zero(x)) return f->slot_default_left[s] ? 0 : RIGHT_ALWAYS;
        break;
    default:
        if (isnan(x)) x = 0.0;
    }
    return rank_of(f->thresholds + start, count, x);
}

static int32_t leaf_of(const forest *f, int32_t tree, const uint16_t *asked)
{
    const node *nodes = f->nodes + f->node_start[tree];
    if (f->node_start[tree + 1] == f->node_start[tree]) return 0; /* a single leaf */
    int32_t at = 0;
    do at = nodes[at].child[asked[nodes[at].slot] > nodes[at].rank];
    while (at < FIRST_LEAF);
    return at - FIRST_LEAF;
}

/* What each of `slots` would be told, for one home; asked has room for all. */
static void ask(const forest *f, const double *row, uint16_t *asked)
{
    for (int32_t s = 0; s < f->slots; s++) asked[s] = answer(f, s, row);
}

/* Trees walk several at a time: one alone would wait for every node that it loads, and be guessed wrong at each leaf. */
static void sum_leaves(const forest *f, const double *row, uint16_t *asked, double *told)
{
    ask(f, row, asked);
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
    for (; tree < f->trees; tree++) sum += f->value[f->leaf_start[tree] + leaf_of(f, tree, asked)];
    *told = sum;
}

/* ROWS homes side by side (QuickScorer; Lucchese et al. 2015, doi:10.1145/2766462.2767733): a split that a home fails
 * strikes out the leaves to its left, and the first leaf that is left is the home's. */
typedef uint16_t ranks __attribute__((vector_size(2 * ROWS)));
typedef int32_t bits __attribute__((vector_size(4 * ROWS)));

static void sum_leaves_of_rows(const forest *f, const double *rows, uint16_t *asked, double *told)
{
    for (int32_t s = 0; s < f->slots; s++)
        for (int32_t r = 0; r < ROWS; r++) asked[s * ROWS + r] = answer(f, s, rows + r * f->features);
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
            for (int32_t r = 0; r < here; r++)
                step_aside(rows + (done + r) * features, aside + i * features, features, moved + r * features);
            if (here == ROWS && f->small)
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
        ask(bag + i, moved, asked);
        for (int32_t k = 0; k < trees; k++) told[i * trees + k] = (uint16_t)leaf_of(bag + i, k, asked);
    }
}

/* The share that an edge passes on, as from + times * (what goes left): a branch here would be guessed wrong. */
static const struct {
    double from, times;
} SIDE[2] = {{0.0, 1.0}, {1.0, -1.0}};

/* The walk through a tree whose quadrature has N points: the home's leaf, and the contributions, before weights, added
 * to `told`, features + 1 vectors of N.
 * An edge's factor is t + (1 - t) z where the home passes it and (1 - t) z where not; an edge that asks again of a
 * feature takes the place of the one above. With `passed` 1 / factor where the home passes an edge and 0 where not,
 * (o - z) / factor is (passed - 1) / (1 - t) in both cases. Where the one above is not passed, nothing below it asks
 * anew: such a node only hands on the shares of its edges, and what it would add goes to a feature that nobody has.
 * Branches would cost more than the few products by one. */
#define WALK(N)                                                                                                        \
    typedef double v##N __attribute__((vector_size(8 * N)));                                                           \
    static int32_t walk_##N(const forest *f, int32_t tree, const uint16_t *asked, const double *t,                     \
                            v##N *restrict told)                                                                       \
    {                                                                                                                  \
        const node *nodes = f->nodes + f->node_start[tree];                                                            \
        int32_t count = f->node_start[tree + 1] - f->node_start[tree], nobody = f->features;                           \
        const double *value = f->value + f->leaf_start[tree];                                                          \
        v##N way[FIRST_LEAF + MOST_NODES + 1]; /* products on the way down, sums on the way up */                      \
        v##N passed[MOST_NODES + 1], at[2], rest[2];                                                                   \
        double z[MOST_NODES + 1]; /* of the edge that the home passes; the first of these stands for no edge above */  \
        uint16_t hot[MOST_NODES + 1], above[MOST_NODES + 1]; /* the side passed; the node above, from 1 */             \
        uint8_t lost[MOST_NODES + 1];                                                                                  \
        memcpy(at, t, sizeof *at);                                                                                     \
        rest[0] = 1.0 - at[0];                                                                                         \
        at[1] = at[0] * 0.0;                                                                                           \
        rest[1] = way[0] = passed[0] = at[1] + 1.0;                                                                    \
        z[0] = 1.0;                                                                                                    \
        lost[0] = 0;                                                                                                   \
        hot[0] = 1;                                                                                                    \
        uint32_t here = count ? 0 : FIRST_LEAF;                                                                        \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            const node *n = nodes + i;                                                                                 \
            uint32_t side = asked[n->slot] > n->rank, edge = n->earlier + 1u, over = edge >> 1; /* 0: none above */    \
            uint32_t in_vain = lost[over] | (hot[over] != (edge & 1)), from = over & (in_vain - 1);                    \
            double go = (SIDE[side].from + SIDE[side].times * n->share) * z[from];                                     \
            double stay = (SIDE[1 - side].from + SIDE[1 - side].times * n->share) * z[from];                           \
            v##N open = way[i] * passed[from], factor = at[in_vain] + rest[in_vain] * go;                              \
            hot[i + 1] = (uint16_t)side;                                                                               \
            here = (uint32_t)i == here ? n->child[side] : here;                                                        \
            lost[i + 1] = (uint8_t)in_vain;                                                                            \
            above[i + 1] = (uint16_t)from;                                                                             \
            z[i + 1] = go;                                                                                             \
            passed[i + 1] = 1.0 / factor;                                                                              \
            way[n->child[side]] = open * factor;                                                                       \
            way[n->child[1 - side]] = open * (rest[in_vain] * stay);                                                   \
        }                                                                                                              \
        for (int32_t i = 0; i <= count; i++) way[FIRST_LEAF + i] *= value[i];                                          \
        for (int32_t i = count - 1; i >= 0; i--) {                                                                     \
            const node *n = nodes + i;                                                                                 \
            v##N gone = way[n->child[hot[i + 1]]], both = gone + way[n->child[1 - hot[i + 1]]];                        \
            way[i] = both;                                                                                             \
            told[lost[i + 1] ? nobody : n->feature] += gone * passed[i + 1] - both * passed[above[i + 1]];             \
        }                                                                                                              \
        return (int32_t)here - FIRST_LEAF;                                                                             \
    }

WALK(4)
WALK(8)
WALK(16)

/* Gauss-Legendre points and weights on 0..1; the weights are those of an integral over 1 / (1 - t). */
typedef struct {
    double points[28], weights[28]; /* of 4, 8 and 16 points, one after the other */
} rule;

/* The mean forest's contributions to one home, without the base: features numbers; what it predicts; and the home's
 * leaf in the first `trees` trees of each forest. `room` holds 28 * (features + 1) doubles, aligned to a cache line. */
void contributions(const forest *bag, int32_t forests, const double *aside, const rule *q, const double *row,
                   int32_t trees, uint16_t *asked, double *moved, double *room, double *told, double *predicted,
                   uint16_t *leaf)
{
    int32_t features = bag->features, each = features + 1; /* one for what is in vain */
    double *sixteen = room, *eight = sixteen + 16 * each, *four = eight + 8 * each;
    memset(room, 0, 28 * each * sizeof(double));
    double total = 0.0;
    for (int32_t k = 0; k < forests; k++) {
        const forest *f = bag + k;
        double one = 0.0;
        step_aside(row, aside + k * features, features, moved);
        ask(f, moved, asked);
        for (int32_t i = 0; i < f->trees; i++) {
            int32_t at;
            if (f->points[i] == 4)
                at = walk_4(f, i, asked, q->points, (v4 *)four);
            else if (f->points[i] == 8)
                at = walk_8(f, i, asked, q->points + 4, (v8 *)eight);
            else
                at = walk_16(f, i, asked, q->points + 12, (v16 *)sixteen);
            one += f->value[f->leaf_start[i] + at];
            if (i < trees) leaf[k * trees + i] = (uint16_t)at;
        }
        total += one;
    }
    *predicted = total / forests;
    for (int32_t j = 0; j < features; j++) {
        double sum = 0.0;
        for (int k = 0; k < 4; k++) sum += q->weights[k] * four[4 * j + k];
        for (int k = 0; k < 8; k++) sum += q->weights[4 + k] * eight[8 * j + k];
        for (int k = 0; k < 16; k++) sum += q->weights[12 + k] * sixteen[16 * j + k];
        told[j] = sum / forests;
    }
}
