/* Exact contributions of every feature to what forests predict, and with them predictions and leaves.
 *
 * Contributions are path-dependent TreeSHAP (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9). With z the share
 * of a node's training rows that an edge passes on and o whether the home passes it, a feature's contribution is
 *
 *     sum over leaves of  v * (o_f - z_f) * integral over t in 0..1 of  prod over other features (t o + (1 - t) z)
 *
 * and the integrand is a polynomial, so Gauss-Legendre quadrature with n points is exact for up to 2n features on a
 * path. One walk down multiplies the factors t o + (1 - t) z, one walk up adds the leaves: a tree costs time linear in
 * its leaves.
 *
 * An edge that asks again of a feature takes the place of the one above: that one's factor is divided out, and z is
 * the share of both. Where the one above is not passed, an edge hands on its own share. With S the sum over the leaves
 * below an edge, (o - z) / factor is (1 / factor - 1) / (1 - t) where it is passed and -1 / (1 - t) where not; over
 * both edges of a node and the one above that asks of its feature all but S / factor of those that are passed cancels.
 *
 * z, the factors of passed edges and their inverses hang on the tree alone: homes that walk side by side share them.
 * Products are of single precision, which leaves reasons a ten-millionth; predictions are added up in double, in
 * LightGBM's order. All runs in a fixed order, and no multiplication is fused with an addition: the bits of a home are
 * the same everywhere, alone and beside others. */

#include "forest.h"

#include <math.h>
#include <string.h>

#define MOST_HOMES 8   /* side by side */
#define MOST_POINTS 28 /* of the quadratures together */
#define MOST_EDGES (2 * MOST_NODES + 1)

/* Gauss-Legendre points and weights on 0..1, of 4, 8 and 16 points one after the other; the weights are those of an
 * integral over 1 / (1 - t). */
typedef struct {
    float points[MOST_POINTS];
    double weights[MOST_POINTS];
} rule;

#define TIMES_1(...) __VA_ARGS__
#define TIMES_4(...) __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__
#define TIMES_8(...) TIMES_4(__VA_ARGS__), TIMES_4(__VA_ARGS__)
#define TIMES_16(...) TIMES_8(__VA_ARGS__), TIMES_8(__VA_ARGS__)
#define POINTS_4 0, 1, 2, 3
#define POINTS_8 POINTS_4, 4, 5, 6, 7
#define POINTS_16 POINTS_8, 8, 9, 10, 11, 12, 13, 14, 15
#define HOMES_1(times) times(0)
#define HOMES_4(times) times(0), times(1), times(2), times(3)
#define HOMES_8(times) HOMES_4(times), times(4), times(5), times(6), times(7)

/* The walk through a tree whose quadrature has N points, for R homes side by side: vectors of R * N lanes, home by home
 * its points. Adds what it finds to `told`, a vector a feature, and tells the homes' leaves. */
#define WALK(R, N)                                                                                                     \
    typedef float points_##R##_##N __attribute__((vector_size(4 * N)));                                                \
    typedef float lanes_##R##_##N __attribute__((vector_size(4 * R * N)));                                             \
    typedef int32_t masks_##R##_##N __attribute__((vector_size(4 * R * N)));                                           \
                                                                                                                       \
    static inline lanes_##R##_##N for_all_##R##_##N(points_##R##_##N x)                                                \
    {                                                                                                                  \
        return __builtin_shufflevector(x, x, TIMES_##R(POINTS_##N));                                                   \
    }                                                                                                                  \
                                                                                                                       \
    static inline masks_##R##_##N in_all_##R##_##N(masks_##R x)                                                        \
    {                                                                                                                  \
        return __builtin_shufflevector(x, x, HOMES_##R(TIMES_##N));                                                    \
    }                                                                                                                  \
                                                                                                                       \
    static inline lanes_##R##_##N where_##R##_##N(masks_##R##_##N yes, points_##R##_##N x)                             \
    {                                                                                                                  \
        return (lanes_##R##_##N)((masks_##R##_##N)for_all_##R##_##N(x) & yes);                                         \
    }                                                                                                                  \
                                                                                                                       \
    static inline lanes_##R##_##N one_of_##R##_##N(masks_##R##_##N a, points_##R##_##N of_a, masks_##R##_##N b,        \
                                                   points_##R##_##N of_b, masks_##R##_##N c, points_##R##_##N of_c)    \
    {                                                                                                                  \
        return (lanes_##R##_##N)((masks_##R##_##N)where_##R##_##N(a, of_a) | (masks_##R##_##N)where_##R##_##N(b, of_b) \
                                 | (masks_##R##_##N)where_##R##_##N(c, of_c));                                         \
    }                                                                                                                  \
                                                                                                                       \
    static masks_##R walk_##R##_##N(const forest *f, int32_t tree, const uint16_t *asked, const float *points,         \
                                    lanes_##R##_##N *restrict told)                                                    \
    {                                                                                                                  \
        const node *nodes = f->nodes + f->node_start[tree];                                                            \
        const int32_t count = f->node_start[tree + 1] - f->node_start[tree];                                           \
        const double *value = f->value + f->leaf_start[tree];                                                          \
        lanes_##R##_##N way[FIRST_LEAF + MOST_NODES + 1]; /* products on the way down, sums on the way up */           \
        masks_##R##_##N passed[MOST_EDGES];               /* edge 0 stands for none above */                           \
        points_##R##_##N inverse[MOST_EDGES], t, rest, one;                                                            \
        float z[MOST_EDGES];                                                                                           \
        masks_##R here = {0};                                                                                          \
        memcpy(&t, points, sizeof t);                                                                                  \
        rest = 1.0f - t;                                                                                               \
        one = t - t + 1.0f;                                                                                            \
        inverse[0] = one;                                                                                              \
        z[0] = 1.0f;                                                                                                   \
        passed[0] = in_all_##R##_##N(here == 0);                                                                       \
        way[0] = way[FIRST_LEAF] = for_all_##R##_##N(one);                                                             \
        if (!count) here = here + FIRST_LEAF;                                                                          \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            const node *n = nodes + i;                                                                                 \
            ranks_##R own;                                                                                             \
            memcpy(&own, asked + n->slot * R, sizeof own);                                                             \
            const masks_##R goes_right = __builtin_convertvector(own > n->rank, masks_##R), at_it = here == i;         \
            here = (at_it & ((goes_right & n->child[1]) | (~goes_right & n->child[0]))) | (~at_it & here);             \
            const masks_##R##_##N in = passed[n->earlier], right = in_all_##R##_##N(goes_right);                       \
            const masks_##R##_##N left_passed = in & ~right, right_passed = in & right;                                \
            const float share = n->share, other = 1.0f - share;                                                        \
            const points_##R##_##N above = inverse[n->earlier], left = rest * (z[2 * i + 1] = share * z[n->earlier]),  \
                                   its = rest * (z[2 * i + 2] = other * z[n->earlier]), open_left = t + left,          \
                                   open_right = t + its;                                                               \
            passed[2 * i + 1] = left_passed;                                                                           \
            passed[2 * i + 2] = right_passed;                                                                          \
            inverse[2 * i + 1] = 1.0f / open_left;                                                                     \
            inverse[2 * i + 2] = 1.0f / open_right;                                                                    \
            way[n->child[0]] = way[i] * one_of_##R##_##N(left_passed, above * open_left, right_passed, above * left,   \
                                                         ~in, one * share);                                            \
            way[n->child[1]] = way[i] * one_of_##R##_##N(right_passed, above * open_right, left_passed, above * its,   \
                                                         ~in, one * other);                                            \
        }                                                                                                              \
        for (int32_t i = 0; i <= count; i++) way[FIRST_LEAF + i] *= (float)value[i];                                   \
        for (int32_t i = count - 1; i >= 0; i--) {                                                                     \
            const node *n = nodes + i;                                                                                 \
            const lanes_##R##_##N left = way[n->child[0]], right = way[n->child[1]], both = left + right;              \
            way[i] = both;                                                                                             \
            told[n->feature] += left * where_##R##_##N(passed[2 * i + 1], inverse[2 * i + 1])                          \
                + right * where_##R##_##N(passed[2 * i + 2], inverse[2 * i + 2])                                       \
                - both * where_##R##_##N(passed[n->earlier], inverse[n->earlier]);                                     \
        }                                                                                                              \
        return here - FIRST_LEAF;                                                                                      \
    }

typedef int32_t masks_1 __attribute__((vector_size(4)));
typedef uint16_t ranks_1 __attribute__((vector_size(2)));
typedef int32_t masks_4 __attribute__((vector_size(16)));
typedef uint16_t ranks_4 __attribute__((vector_size(8)));
typedef int32_t masks_8 __attribute__((vector_size(32)));
typedef uint16_t ranks_8 __attribute__((vector_size(16)));

WALK(1, 4)
WALK(1, 8)
WALK(1, 16)
WALK(4, 4)
WALK(4, 8)
WALK(4, 16)
WALK(8, 4)
WALK(8, 8)
WALK(8, 16)

static double weighed(const double *weights, const float *sums, int32_t points)
{
    double told = 0.0;
    for (int32_t k = 0; k < points; k++) told += weights[k] * sums[k];
    return told;
}

/* One tree for as many homes as are walked side by side; their leaves go to `at`. */
#define WALK_SIDE_BY_SIDE(R)                                                                                           \
    if (side_by_side == R) {                                                                                           \
        masks_##R here = points == 4 ? walk_##R##_4(f, i, asked, q->points, (lanes_##R##_4 *)of_4)                     \
            : points == 8            ? walk_##R##_8(f, i, asked, q->points + 4, (lanes_##R##_8 *)of_8)                 \
                                     : walk_##R##_16(f, i, asked, q->points + 12, (lanes_##R##_16 *)of_16);            \
        memcpy(at, &here, sizeof here);                                                                                \
    }

/* What each forest tells of up to MOST_HOMES homes: contributions, without the base, forests x homes x features;
 * predictions, forests x homes; and the leaf in the first `trees` trees, homes x forests x trees. Forest i is asked
 * about a home moved by aside[i]. Threads that are given the same `next`, 0 to begin with, share the forests: each takes
 * the next whenever it is free. Room, of each thread: `asked` for MOST_HOMES * slots ranks, `moved` for MOST_HOMES
 * homes, `sums` for MOST_HOMES * MOST_POINTS * features floats; aligned. */
void explain(const forest *bag, int32_t forests, int32_t *next, const double *aside, const rule *q, const double *rows,
             int32_t count, int32_t trees, uint16_t *asked, double *moved, float *sums, double *contributions,
             double *predictions, uint16_t *leaf)
{
    const int32_t features = bag->features, side_by_side = count == 1 ? 1 : count <= 4 ? 4 : 8;
    float *of_16 = sums, *of_8 = of_16 + 16 * side_by_side * features, *of_4 = of_8 + 8 * side_by_side * features;
    for (int32_t k; (k = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < forests;) {
        const forest *f = bag + k;
        double told[MOST_HOMES] = {0};
        for (int32_t r = 0; r < side_by_side; r++)
            for (int32_t j = 0; j < features; j++)
                moved[r * features + j] = rows[(r < count ? r : 0) * features + j] + aside[k * features + j];
        ask(f, moved, side_by_side, asked);
        memset(sums, 0, MOST_POINTS * side_by_side * features * sizeof *sums);
        for (int32_t i = 0; i < f->trees; i++) {
            const double *value = f->value + f->leaf_start[i];
            const int points = f->points[i];
            int32_t at[MOST_HOMES];
            WALK_SIDE_BY_SIDE(1)
            WALK_SIDE_BY_SIDE(4)
            WALK_SIDE_BY_SIDE(8)
            for (int32_t r = 0; r < side_by_side; r++) told[r] += value[at[r]];
            if (i < trees)
                for (int32_t r = 0; r < count; r++) leaf[((int64_t)r * forests + k) * trees + i] = (uint16_t)at[r];
        }
        for (int32_t r = 0; r < count; r++) {
            predictions[k * count + r] = told[r];
            for (int32_t j = 0; j < features; j++) {
                const int32_t at = j * side_by_side + r;
                double sum = weighed(q->weights, of_4 + 4 * at, 4);
                sum += weighed(q->weights + 4, of_8 + 8 * at, 8);
                sum += weighed(q->weights + 12, of_16 + 16 * at, 16);
                contributions[((int64_t)k * count + r) * features + j] = sum;
            }
        }
    }
}

/* The mean over the forests, added up in their order, of what `explain` told of each. What single precision lost goes
 * to the largest contribution, so that all of them and the base are what is predicted; `told` has the base behind. */
void mean(int32_t forests, int32_t count, int32_t features, double base, const double *contributions,
          const double *predictions, double *told, double *predicted)
{
    for (int32_t r = 0; r < count; r++, told += features + 1) {
        double sum = 0.0;
        for (int32_t k = 0; k < forests; k++) sum += predictions[k * count + r];
        double rest = (predicted[r] = sum / forests) - (told[features] = base);
        int32_t largest = 0;
        for (int32_t j = 0; j < features; j++) {
            double part = 0.0;
            for (int32_t k = 0; k < forests; k++) part += contributions[((int64_t)k * count + r) * features + j];
            told[j] = part / forests;
            rest -= told[j];
            if (fabs(told[j]) > fabs(told[largest])) largest = j;
        }
        told[largest] += rest;
    }
}
