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

#define MOST_NODES 1024 /* of a tree that contributions are asked of */
#define ROWS 16         /* homes that walk a tree side by side */
#define RIGHT_ALWAYS 65535

/* How a question treats what is missing; as LightGBM's decision types do. */
enum { MISSING_NONE, MISSING_ZERO, MISSING_NAN, CATEGORICAL };

typedef struct {
    int32_t trees, features, slots;
    /* questions: of the forest's s-th slot, s in slots */
    const int32_t *slot_feature;
    const uint8_t *slot_kind, *slot_default_left;
    const int32_t *slot_start; /* slots + 1: into thresholds, or into words for categories */
    const double *thresholds;  /* ascending within a slot */
    const uint32_t *words;     /* bit c of a question's words: category c goes left */
    /* trees */
    const int32_t *node_start, *leaf_start; /* trees + 1 */
    const int32_t *slot;
    const uint16_t *rank;   /* left where the home's rank is at most this */
    const int16_t *child;   /* 2 a node, left then right, each after its parent; below 0 the leaf ~child */
    const int16_t *earlier; /* the edge above, 2 * node + side, that asks of the same feature; -1 where none does */
    const int32_t *parent;  /* the edge that leads to a node, 2 * node + side within its tree */
    const double *share;    /* of a node's training rows, what goes left */
    const uint32_t *spares; /* the leaves, from left to right, that stay possible where a home goes right, as bits;
                             * absent where a tree has more than 32 */
    const double *value;    /* of the leaves, by their numbers */
    const double *ordered;  /* of the leaves, from left to right */
    const uint8_t *points;  /* of quadrature that are exact for the tree: 4, 8 or 16 */
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
    int32_t start = f->node_start[tree];
    if (f->node_start[tree + 1] == start) return 0; /* a single leaf */
    int32_t node = 0;
    do {
        int32_t at = start + node;
        node = f->child[2 * at + (asked[f->slot[at]] > f->rank[at])];
    } while (node >= 0);
    return ~node;
}

/* What each of `slots` would be told, for one home; asked has room for all. */
static void ask(const forest *f, const double *row, uint16_t *asked)
{
    for (int32_t s = 0; s < f->slots; s++) asked[s] = answer(f, s, row);
}

static void sum_leaves(const forest *f, const double *row, uint16_t *asked, double *told)
{
    ask(f, row, asked);
    double sum = 0.0;
    for (int32_t i = 0; i < f->trees; i++) sum += f->value[f->leaf_start[i] + leaf_of(f, i, asked)];
    *told = sum;
}

/* ROWS homes side by side (QuickScorer; Lucchese et al. 2015, doi:10.1145/2766462.2767733): a split that a home fails
 * strikes out the leaves to its left, and the first leaf that is left is the home's. */
static void sum_leaves_of_rows(const forest *f, const double *rows, uint16_t *asked, double *told)
{
    for (int32_t s = 0; s < f->slots; s++)
        for (int32_t r = 0; r < ROWS; r++) asked[s * ROWS + r] = answer(f, s, rows + r * f->features);
    memset(told, 0, ROWS * sizeof(double));
    for (int32_t i = 0; i < f->trees; i++) {
        uint32_t open[ROWS];
        for (int32_t r = 0; r < ROWS; r++) open[r] = ~0u;
        for (int32_t at = f->node_start[i]; at < f->node_start[i + 1]; at++) {
            const uint16_t *own = asked + f->slot[at] * ROWS;
            uint16_t rank = f->rank[at];
            uint32_t spares = f->spares[at];
            for (int32_t r = 0; r < ROWS; r++) open[r] &= own[r] > rank ? spares : ~0u;
        }
        const double *value = f->ordered + f->leaf_start[i];
        for (int32_t r = 0; r < ROWS; r++) told[r] += value[__builtin_ctz(open[r])];
    }
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
            if (here == ROWS && f->spares)
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

/* The walk through a tree whose quadrature has N points; adds to `told`, features vectors of N, before weights.
 * An edge's factor is t + (1 - t) z where the home passes it and (1 - t) z where not; an edge that asks again of a
 * feature takes the place of the one above. `passed` is 1 / factor where the home passes an edge and 0 where not,
 * which makes (o - z) / factor = (passed - 1) / (1 - t) in both cases. */
#define WALK(N)                                                                                                        \
    typedef double v##N __attribute__((vector_size(8 * N)));                                                           \
    static void walk_##N(const forest *f, int32_t tree, const uint16_t *asked, const double *t, v##N *told)            \
    {                                                                                                                  \
        int32_t start = f->node_start[tree], nodes = f->node_start[tree + 1] - start;                                  \
        const double *value = f->value + f->leaf_start[tree];                                                          \
        v##N product[MOST_NODES], under[2 * MOST_NODES], passed[MOST_NODES], at;                                       \
        double z[2 * MOST_NODES];                                                                                      \
        uint8_t hot[MOST_NODES], lost[MOST_NODES]; /* the side passed; whether an edge above is not passed */          \
        memcpy(&at, t, sizeof at);                                                                                     \
        const v##N rest = 1.0 - at;                                                                                    \
        product[0] = at * 0.0 + 1.0;                                                                                   \
        for (int32_t i = 0; i < nodes; i++) {                                                                          \
            int32_t n = start + i, side = asked[f->slot[n]] > f->rank[n], above = f->earlier[n];                       \
            double left = f->share[n], own[2] = {left, 1.0 - left};                                                    \
            v##N open = product[i], way[2];                                                                            \
            hot[i] = (uint8_t)side;                                                                                    \
            lost[i] = above >= 0 && (lost[above >> 1] || hot[above >> 1] != (above & 1));                              \
            if (lost[i]) {                                                                                             \
                way[0] = open * own[0];                                                                                \
                way[1] = open * own[1];                                                                                \
            } else {                                                                                                   \
                if (above >= 0) {                                                                                      \
                    own[0] *= z[above];                                                                                \
                    own[1] *= z[above];                                                                                \
                    open *= passed[above >> 1];                                                                        \
                }                                                                                                      \
                v##N factor = at + rest * own[side];                                                                   \
                passed[i] = 1.0 / factor;                                                                              \
                way[side] = open * factor;                                                                             \
                way[1 - side] = open * (rest * own[1 - side]);                                                         \
            }                                                                                                          \
            for (int s = 0; s < 2; s++) {                                                                              \
                int32_t child = f->child[2 * n + s];                                                                   \
                z[2 * i + s] = own[s];                                                                                 \
                if (child < 0)                                                                                         \
                    under[2 * i + s] = way[s] * value[~child];                                                         \
                else                                                                                                   \
                    product[child] = way[s];                                                                           \
            }                                                                                                          \
        }                                                                                                              \
        for (int32_t i = nodes - 1; i >= 0; i--) {                                                                     \
            int32_t n = start + i, above = f->earlier[n];                                                              \
            v##N both = under[2 * i] + under[2 * i + 1];                                                               \
            if (i) under[f->parent[n]] = both;                                                                         \
            if (lost[i]) continue;                                                                                     \
            v##N gain = under[2 * i + hot[i]] * passed[i];                                                             \
            told[f->slot_feature[f->slot[n]]] += gain - (above < 0 ? both : both * passed[above >> 1]);                \
        }                                                                                                              \
    }

WALK(4)
WALK(8)
WALK(16)

/* Gauss-Legendre points and weights on 0..1; the weights are those of an integral over 1 / (1 - t). */
typedef struct {
    double points[28], weights[28]; /* of 4, 8 and 16 points, one after the other */
} rule;

/* The mean forest's contributions to one home, without the base: features numbers. `room` holds 28 * features doubles,
 * aligned to a cache line. */
void contributions(const forest *bag, int32_t forests, const double *aside, const rule *q, const double *row,
                   uint16_t *asked, double *moved, double *room, double *told)
{
    int32_t features = bag->features;
    double *sixteen = room, *eight = sixteen + 16 * features, *four = eight + 8 * features;
    memset(room, 0, 28 * features * sizeof(double));
    for (int32_t k = 0; k < forests; k++) {
        const forest *f = bag + k;
        step_aside(row, aside + k * features, features, moved);
        ask(f, moved, asked);
        for (int32_t i = 0; i < f->trees; i++) {
            if (f->points[i] == 4)
                walk_4(f, i, asked, q->points, (v4 *)four);
            else if (f->points[i] == 8)
                walk_8(f, i, asked, q->points + 4, (v8 *)eight);
            else
                walk_16(f, i, asked, q->points + 12, (v16 *)sixteen);
        }
    }
    for (int32_t j = 0; j < features; j++) {
        double sum = 0.0;
        for (int k = 0; k < 4; k++) sum += q->weights[k] * four[4 * j + k];
        for (int k = 0; k < 8; k++) sum += q->weights[4 + k] * eight[8 * j + k];
        for (int k = 0; k < 16; k++) sum += q->weights[12 + k] * sixteen[16 * j + k];
        told[j] = sum / forests;
    }
}
