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
 * LightGBM's order. All runs in a fixed order, and a multiplication is fused with an addition only where it says so: the
 * bits of a home are the same everywhere, alone and beside others. */

#include "forest.h"
#include "second.h"

#include <math.h>
#include <string.h>

#define MOST_HOMES 8   /* side by side */
#define MOST_POINTS 28 /* of the quadratures together */
#define MOST_EDGES (2 * MOST_NODES + 1)

/* x * y + z of vectors, rounded once. */
#if defined(__clang__)
#define FUSED(x, y, z) __builtin_elementwise_fma(x, y, z)
#else
#define FUSED(x, y, z)                                                                                                 \
    ({                                                                                                                 \
        __typeof__((x) + (y)) fused_;                                                                                  \
        for (unsigned at_ = 0; at_ < sizeof fused_ / sizeof fused_[0]; at_++)                                          \
            fused_[at_] = __builtin_fmaf((x)[at_], (y)[at_], (z)[at_]);                                                \
        fused_;                                                                                                        \
    })
#endif

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
    static inline lanes_##R##_##N where_##R##_##N(masks_##R##_##N yes, lanes_##R##_##N x)                              \
    {                                                                                                                  \
        return (lanes_##R##_##N)((masks_##R##_##N)x & yes);                                                            \
    }                                                                                                                  \
                                                                                                                       \
    static inline lanes_##R##_##N either_##R##_##N(masks_##R##_##N yes, lanes_##R##_##N x, lanes_##R##_##N y)          \
    {                                                                                                                  \
        return (lanes_##R##_##N)(((masks_##R##_##N)x & yes) | ((masks_##R##_##N)y & ~yes));                            \
    }                                                                                                                  \
                                                                                                                       \
    static masks_##R walk_##R##_##N(const forest *f, int32_t tree, const uint16_t *asked, const float *points,         \
                                    lanes_##R##_##N *restrict told)                                                    \
    {                                                                                                                  \
        const node *nodes = f->nodes + f->node_start[tree];                                                            \
        const edges *below = f->edges + f->node_start[tree];                                                           \
        const int32_t count = f->node_start[tree + 1] - f->node_start[tree];                                           \
        const double *value = f->value + f->leaf_start[tree];                                                          \
        lanes_##R##_##N way[FIRST_LEAF + MOST_NODES + 1]; /* products on the way down, sums on the way up */           \
        lanes_##R##_##N undo[MOST_EDGES]; /* 1 / factor, 0 where not passed; edge 0 stands for none above */           \
        points_##R##_##N t, rest;                                                                                      \
        masks_##R open = {0};                                                                                          \
        memcpy(&t, points, sizeof t);                                                                                  \
        rest = 1.0f - t;                                                                                               \
        const lanes_##R##_##N at = for_all_##R##_##N(t), none = {0};                                                   \
        way[0] = way[FIRST_LEAF] = undo[0] = 1.0f - none;                                                              \
        open = ~open;                                                                                                  \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            const node *n = nodes + i;                                                                                 \
            ranks_##R own;                                                                                             \
            memcpy(&own, asked + n->slot * R, sizeof own);                                                             \
            const masks_##R goes_right = __builtin_convertvector(own > n->rank, masks_##R);                            \
            open &= ~goes_right | (int32_t)n->spares;                                                                  \
            const edges *e = below + i;                                                                                \
            const points_##R##_##N left = rest * e->passed_on[0], its = rest * e->passed_on[1];                        \
            const lanes_##R##_##N above = undo[n->earlier];                                                            \
            const masks_##R##_##N right = in_all_##R##_##N(goes_right), out = above == 0.0f;                           \
            const lanes_##R##_##N here = way[i] * either_##R##_##N(out, 1.0f - none, above);                           \
            way[n->child[0]] = here * either_##R##_##N(out, e->share[0] - none,                                        \
                                             for_all_##R##_##N(left) + where_##R##_##N(~right, at));                   \
            way[n->child[1]] = here * either_##R##_##N(out, e->share[1] - none,                                        \
                                             for_all_##R##_##N(its) + where_##R##_##N(right, at));                     \
            undo[2 * i + 1] = where_##R##_##N(~out, where_##R##_##N(~right, for_all_##R##_##N(1.0f / (t + left))));    \
            undo[2 * i + 2] = where_##R##_##N(~out, where_##R##_##N(right, for_all_##R##_##N(1.0f / (t + its))));      \
        }                                                                                                              \
        float single[MOST_NODES + 1];                                                                                  \
        for (int32_t i = 0; i <= count; i++) single[i] = (float)value[i];                                              \
        for (int32_t i = 0; i <= count; i++) way[FIRST_LEAF + i] *= single[i];                                         \
        for (int32_t i = count - 1; i >= 0; i--) {                                                                     \
            const node *n = nodes + i;                                                                                 \
            const lanes_##R##_##N left = way[n->child[0]], right = way[n->child[1]], both = left + right;              \
            way[i] = both;                                                                                             \
            const lanes_##R##_##N passed = FUSED(right, undo[2 * i + 2], left * undo[2 * i + 1]);                      \
            told[n->feature] += FUSED(-both, undo[n->earlier], passed);                                                \
        }                                                                                                              \
        return open;                                                                                                   \
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

/* One tree for as many homes as are walked side by side; the leaves that stay possible for them go to `open`. */
#define WALK_SIDE_BY_SIDE(R)                                                                                           \
    if (side_by_side == R) {                                                                                           \
        masks_##R here = points == 4 ? walk_##R##_4(f, i, r->asked, q->points, (lanes_##R##_4 *)of_4)                  \
            : points == 8            ? walk_##R##_8(f, i, r->asked, q->points + 4, (lanes_##R##_8 *)of_8)              \
                                     : walk_##R##_16(f, i, r->asked, q->points + 12, (lanes_##R##_16 *)of_16);         \
        memcpy(open, &here, sizeof here);                                                                              \
    }

/* Of each thread: for MOST_HOMES * slots ranks, MOST_HOMES homes, and MOST_HOMES * MOST_POINTS * features floats that
 * begin where a cache line does. */
typedef struct {
    uint16_t *asked;
    double *moved;
    float *sums;
} room;

/* What is asked about up to MOST_HOMES homes. Forest i is asked about a home moved by aside[i]. */
typedef struct {
    const forest *bag;
    const double *aside, *rows;
    const rule *q;
    double base;
    int32_t forests, count, trees;
    int32_t next; /* forest that nobody has taken: threads share them, each takes the next whenever it is free */
    double *contributions, *predictions; /* of each forest: without the base, forests x homes x features; forests x homes */
    uint16_t *leaf; /* in the first `trees` trees: homes x forests x trees */
    job second;
    const room *its; /* of the second thread */
} question;

static void walk(question *of, const room *r)
{
    const int32_t features = of->bag->features, count = of->count;
    const int32_t side_by_side = count == 1 ? 1 : count <= 4 ? 4 : 8;
    const rule *q = of->q;
    float *of_16 = r->sums, *of_8 = of_16 + 16 * side_by_side * features, *of_4 = of_8 + 8 * side_by_side * features;
    for (int32_t k; (k = __atomic_fetch_add(&of->next, 1, __ATOMIC_RELAXED)) < of->forests;) {
        const forest *f = of->bag + k;
        double told[MOST_HOMES] = {0};
        for (int32_t h = 0; h < side_by_side; h++)
            for (int32_t j = 0; j < features; j++)
                r->moved[h * features + j] = of->rows[(h < count ? h : 0) * features + j] + of->aside[k * features + j];
        ask(f, r->moved, side_by_side, r->asked);
        memset(r->sums, 0, MOST_POINTS * side_by_side * features * sizeof *r->sums);
        for (int32_t i = 0; i < f->trees; i++) {
            const int32_t first = f->leaf_start[i];
            const int points = f->points[i];
            uint32_t open[MOST_HOMES];
            WALK_SIDE_BY_SIDE(1)
            WALK_SIDE_BY_SIDE(4)
            WALK_SIDE_BY_SIDE(8)
            for (int32_t h = 0; h < side_by_side; h++) {
                const int32_t at = f->small ? f->number[first + __builtin_ctz(open[h])]
                                            : leaf_of(f, i, r->asked + h, side_by_side);
                told[h] += f->value[first + at];
                if (i < of->trees && h < count) of->leaf[((int64_t)h * of->forests + k) * of->trees + i] = (uint16_t)at;
            }
        }
        for (int32_t h = 0; h < count; h++) {
            of->predictions[k * count + h] = told[h];
            for (int32_t j = 0; j < features; j++) {
                const int32_t at = j * side_by_side + h;
                double sum = weighed(q->weights, of_4 + 4 * at, 4);
                sum += weighed(q->weights + 4, of_8 + 8 * at, 8);
                sum += weighed(q->weights + 12, of_16 + 16 * at, 16);
                of->contributions[((int64_t)k * count + h) * features + j] = sum;
            }
        }
    }
}

static void walk_beside(void *of) { walk(of, ((question *)of)->its); }

/* Lets the second thread begin, in its room. Until `explain` is over the question lies still, with all it points to. */
void begin_to_explain(question *q, const room *its)
{
    q->its = its;
    q->second = (job){walk_beside, q, 0};
    offer(&q->second);
}

/* Answers a question: of each home its contributions, with the base behind, and its prediction.
 *
 * Both are means over the forests, added up in their order. What single precision lost goes to the largest
 * contribution, so that all of them and the base are what is predicted. */
void explain(question *q, const room *own, int32_t is_begun, double *told, double *predicted)
{
    const int32_t forests = q->forests, count = q->count, features = q->bag->features;
    walk(q, own);
    if (is_begun) taken(&q->second);
    for (int32_t h = 0; h < count; h++, told += features + 1) {
        double sum = 0.0;
        for (int32_t k = 0; k < forests; k++) sum += q->predictions[k * count + h];
        double rest = (predicted[h] = sum / forests) - (told[features] = q->base);
        int32_t largest = 0;
        for (int32_t j = 0; j < features; j++) {
            double part = 0.0;
            for (int32_t k = 0; k < forests; k++) part += q->contributions[((int64_t)k * count + h) * features + j];
            told[j] = part / forests;
            rest -= told[j];
            if (fabs(told[j]) > fabs(told[largest])) largest = j;
        }
        told[largest] += rest;
    }
}
