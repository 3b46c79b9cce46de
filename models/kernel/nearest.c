/* The nearest of many points, and levels of what is known of them.
 *
 * Points lie in boxes of a few that are near each other. A home looks into the nearest boxes first, and stops at one
 * that is farther away than the last of as many points as it wants. Distances have scipy's bits: squares are added up
 * in the order of the coordinates, four at a time. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BOX 32                /* points */
#define LANES 8               /* of them at once */
#define FARTHEST 1e300        /* squared; farther are only places that are left */
#define HALVINGS 60           /* of what is between too near and too far */
#define ROUNDED (1.0 - 1e-12) /* of a box's distance, which is added up otherwise than that of a point in it */

typedef double lanes __attribute__((vector_size(8 * LANES)));

typedef struct {
    int32_t points, dimensions, boxes, fadings, levels;
    const double *low, *high; /* dimensions x boxes */
    const double *at;         /* boxes x dimensions x BOX; in the last box places may be left, infinitely far away */
    const int32_t *number;    /* boxes x BOX: of each point, as the caller counts */
    /* levels of what is known of the points */
    const double *value, *fresh; /* boxes x BOX; fadings x boxes x BOX: what each counts for its age */
    const int32_t *fading, *count; /* levels: of each the row of `fresh`, and over how many of the nearest */
    double outermost; /* coordinate, from which on all homes are put there: squares stay finite */
    double closest;   /* below which nearer is not heavier */
} places;

/* How far the boxes are, squared: 0 for one that the home is in. */
static void reach(const places *p, const double *home, double *far)
{
    for (int32_t b = 0; b < p->boxes; b++) far[b] = 0.0;
    for (int32_t d = 0; d < p->dimensions; d++) {
        const double x = home[d], *low = p->low + (int64_t)d * p->boxes, *high = p->high + (int64_t)d * p->boxes;
        for (int32_t b = 0; b < p->boxes; b++) {
            const double below = low[b] - x, above = x - high[b], by = below > above ? below : above;
            far[b] += by > 0.0 ? by * by : 0.0;
        }
    }
}

/* How far a box's points are, squared. */
static void measure(const places *p, int32_t box, const double *home, double *far)
{
    const double *at = p->at + (int64_t)box * p->dimensions * BOX;
    const int32_t fours = p->dimensions / 4 * 4;
    for (int32_t i = 0; i < BOX; i += LANES) {
        lanes sums[4] = {{0}}, there, by, sum;
        for (int32_t d = 0; d < fours; d++) {
            memcpy(&there, at + d * BOX + i, sizeof there);
            by = home[d] - there;
            sums[d % 4] += by * by;
        }
        sum = sums[0] + sums[1] + sums[2] + sums[3];
        for (int32_t d = fours; d < p->dimensions; d++) {
            memcpy(&there, at + d * BOX + i, sizeof there);
            by = home[d] - there;
            sum += by * by;
        }
        memcpy(far + i, &sum, sizeof sum);
    }
}

/* Points that may be among the nearest: of each how far it is, squared, and its place. */
typedef struct {
    double *far;
    int32_t *place, count;
} field;

/* Takes of a box what is no farther than the bound. */
static void gather(const places *p, int32_t box, const double *home, double bound, field *here)
{
    double far[BOX];
    int32_t count = here->count;
    int64_t any = 0;
    measure(p, box, home, far);
    for (int32_t i = 0; i < BOX; i++) any |= far[i] <= bound;
    for (int32_t i = 0; any && i < BOX; i++) {
        here->far[count] = far[i];
        here->place[count] = box * BOX + i;
        count += far[i] <= bound;
    }
    here->count = count;
}

static int64_t within(const field *here, double bound)
{
    int64_t told = 0;
    for (int32_t i = 0; i < here->count; i++) told += here->far[i] <= bound;
    return told;
}

/* Leaves hardly more than the k nearest of those that are no farther than the bound, and tells how far they are. */
static double narrow(field *here, int32_t k, double bound)
{
    double too_near = 0.0;
    for (int32_t i = 0; i < HALVINGS; i++) {
        const double middle = (too_near + bound) / 2;
        const int64_t inside = within(here, middle);
        if (inside < k)
            too_near = middle;
        else
            bound = middle;
        if (inside >= k && inside <= k + k / 8) break;
    }
    int32_t count = 0;
    for (int32_t i = 0; i < here->count; i++) {
        const double far = here->far[i];
        here->far[count] = far;
        here->place[count] = here->place[i];
        count += far <= bound;
    }
    here->count = count;
    return bound;
}

/* Puts the k nearest in their order: each where so many are nearer. */
static void rank(const field *here, int32_t k, double *far, int32_t *place)
{
    for (int32_t i = 0; i < here->count; i++) {
        const double its = here->far[i];
        int64_t nearer = 0;
        for (int32_t j = 0; j < i; j++) nearer += here->far[j] <= its;
        for (int32_t j = i + 1; j < here->count; j++) nearer += here->far[j] < its;
        if (nearer >= k) continue;
        far[nearer] = its;
        place[nearer] = here->place[i];
    }
}

/* The k nearest points, ascending. `boxes` has room for as many, and `here` for all points and a box. */
static void look(const places *p, const double *its, int32_t k, double *boxes, field *here, double *far, int32_t *place)
{
    double home[p->dimensions];
    for (int32_t d = 0; d < p->dimensions; d++) home[d] = fmax(-p->outermost, fmin(its[d], p->outermost));
    const int32_t first = k / BOX + 2 < p->boxes ? k / BOX + 2 : p->boxes;
    int32_t nearest[first], full = 0;
    reach(p, home, boxes);
    for (int32_t b = 0; b < p->boxes; b++) {
        if (full == first && boxes[b] >= boxes[nearest[full - 1]]) continue;
        int32_t at = full < first ? full++ : full - 1;
        for (; at > 0 && boxes[nearest[at - 1]] > boxes[b]; at--) nearest[at] = nearest[at - 1];
        nearest[at] = b;
    }
    here->count = 0;
    double bound = FARTHEST;
    for (int32_t i = 0; i < full; i++) {
        gather(p, nearest[i], home, bound, here);
        boxes[nearest[i]] = INFINITY;
    }
    double most = 0.0;
    for (int32_t i = 0; i < here->count; i++) most = here->far[i] > most ? here->far[i] : most;
    if (here->count > k) bound = narrow(here, k, most);
    for (int32_t b = 0; b < p->boxes; b++) {
        if (boxes[b] * ROUNDED > bound) continue;
        gather(p, b, home, bound, here);
        if (here->count > 3 * k) bound = narrow(here, k, bound);
    }
    if (here->count > k) narrow(here, k, bound);
    rank(here, k, far, place);
}

/* Distances and numbers of the k nearest of each home, ascending; k is at most `points`. Room: for all boxes, and for
 * all points and a box. */
void nearest(const places *p, const double *homes, int32_t count, int32_t k, double *boxes, double *far, int32_t *place,
             double *distance, int32_t *number)
{
    field here = {far, place, 0};
    for (int32_t h = 0; h < count; h++, homes += p->dimensions, distance += k, number += k) {
        look(p, homes, k, boxes, &here, distance, number);
        for (int32_t i = 0; i < k; i++) {
            distance[i] = sqrt(distance[i]);
            number[i] = p->number[number[i]];
        }
    }
}

/* Distances of the k nearest of each home, and the levels of what is known of them: means, the nearer and the newer
 * counting more. */
void levels(const places *p, const double *homes, int32_t count, int32_t k, double *boxes, double *far, int32_t *place,
            double *distance, double *told)
{
    field here = {far, place, 0};
    double near[k], value[k];
    int32_t at[k];
    for (int32_t h = 0; h < count; h++, homes += p->dimensions, distance += k, told += p->levels) {
        look(p, homes, k, boxes, &here, distance, at);
        for (int32_t i = 0; i < k; i++) {
            distance[i] = sqrt(distance[i]);
            near[i] = 1.0 / (distance[i] + p->closest);
            value[i] = p->value[at[i]];
        }
        for (int32_t f = 0; f < p->fadings; f++) {
            const double *fresh = p->fresh + (int64_t)f * p->boxes * BOX;
            double sums[k], weights[k], sum = 0.0, weight = 0.0;
            for (int32_t i = 0; i < k; i++) {
                const double its = fresh[at[i]] * near[i];
                sums[i] = sum += its * value[i];
                weights[i] = weight += its;
            }
            for (int32_t l = 0; l < p->levels; l++) {
                const int32_t last = (p->count[l] < k ? p->count[l] : k) - 1;
                if (p->fading[l] == f) told[l] = sums[last] / weights[last];
            }
        }
    }
}
