/* The sales that weigh most beside a home, found without weighing all.
 *
 * Every deciding tree gives each sale in the home's leaf 1 / (sales there). Small leaves give much and come first. Now
 * and then those who lead are weighed in all trees: whoever can't reach what these weigh can't be among the chosen. As
 * sales fade with age, the oldest are left first, and what lists of them there are is read from its end no further than
 * that. The sales that are left over are weighed roughly, in vectors, and the few that could still win to the end, tree
 * by tree in the order of the trees: weights have the bits of a full count. What is rough is of single precision, and a
 * thousandth beside the point never decides. */

#include "second.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROUGH 0.999f  /* of a bar: what is below it is below the bar, however it was rounded */
#define FIRST_LOOK 32 /* trees after which leaders are looked for; then after twice as many */
#define LOOKS 32      /* more than there can be */
#define LEAVE 0.9f    /* of a bar, below which those are left who could gain no more: sooner, too many of them are weighed */
#define LEADERS 3     /* beside as many as are chosen: what leads so far need not lead in the end */
#define FETCHED 256   /* sales of a list that are fetched before it is read */
#define AHEAD 4       /* sales whose leaves are fetched meanwhile */
#define SIZES 512     /* of leaves that are told apart, 16 an octave */
#define BLOCK 64      /* sales looked over at once: weights are of a whole number of blocks */
#define LANES 32      /* trees weighed at once; a sale's leaves are a whole number of these */

typedef uint16_t leaf_lanes __attribute__((vector_size(2 * LANES)));
typedef int16_t same_lanes __attribute__((vector_size(2 * LANES)));
typedef int32_t mask_lanes __attribute__((vector_size(4 * LANES)));
typedef float sum_lanes __attribute__((vector_size(4 * LANES)));

typedef struct {
    double each; /* what the leaf gives a sale */
    int32_t count;
    const uint32_t *sales;
} share;

/* What a sale weighs in all trees, in their order; how many trees can't tell it from the home goes to `common`. */
static double weigh(const share *all, int32_t trees, const uint16_t *leaves, const uint16_t *home, double *common)
{
    double full = 0.0;
    int32_t shared = 0;
    for (int32_t t = 0; t < trees; t++) {
        int same = leaves[t] == home[t];
        full += same ? all[t].each : 0.0;
        shared += same;
    }
    *common = shared;
    return full;
}

static float weigh_roughly(const float *each, int32_t wide, const uint16_t *leaves, const uint16_t *home)
{
    sum_lanes sum = {0};
    for (int32_t t = 0; t < wide; t += LANES) {
        leaf_lanes a, b;
        sum_lanes gives;
        memcpy(&a, leaves + t, sizeof a);
        memcpy(&b, home + t, sizeof b);
        memcpy(&gives, each + t, sizeof gives);
        sum += (sum_lanes)((mask_lanes)gives & __builtin_convertvector((same_lanes)(a == b), mask_lanes));
    }
    float told = 0.0f;
    for (int i = 0; i < LANES; i++) told += sum[i];
    return told;
}

/* Puts a sale in its place among the k that have most, of equals the earlier first; returns how many there are. */
static int32_t place(double weight, uint32_t sale, int32_t told, int32_t k, double *top, uint32_t *who, double *with,
                     double shared)
{
    int32_t at = told;
    while (at > 0 && (top[at - 1] < weight || (top[at - 1] == weight && who[at - 1] > sale))) at--;
    if (at == k) return told;
    if (told < k) told++;
    for (int32_t j = told - 1; j > at; j--) {
        top[j] = top[j - 1];
        who[j] = who[j - 1];
        with[j] = with[j - 1];
    }
    top[at] = weight;
    who[at] = sale;
    with[at] = shared;
    return told;
}

static int32_t size_of(int32_t count)
{
    const float size = (float)count;
    int32_t bits;
    memcpy(&bits, &size, sizeof bits);
    return count > 0 ? (bits >> 19) - (127 << 4) : 0;
}

/* Shares in the order of their counts, to within a sixteenth: what gives much comes first. */
static void by_size(const share *all, int32_t trees, share *sorted)
{
    int32_t start[SIZES + 1] = {0};
    for (int32_t t = 0; t < trees; t++) start[size_of(all[t].count) + 1]++;
    for (int32_t s = 0; s < SIZES; s++) start[s + 1] += start[s];
    for (int32_t t = 0; t < trees; t++) sorted[start[size_of(all[t].count)]++] = all[t];
}

/* What the k-th weighs in the end of those that lead so far; 0 where there are fewer. `lead` is what the last of them
 * weighs so far: in later looks all weigh as much. */
static float what_leaders_weigh(float *lead, const float *weight, const float *faded, int32_t sales, int32_t k, const float *each,
                                int32_t wide, const uint16_t *leaves, const uint16_t *home)
{
    const int32_t most = k + LEADERS;
    double top[most], with[most];
    uint32_t who[most];
    int32_t leaders = 0, told = 0;
    float bar = *lead;
    for (int32_t i = 0; i < sales; i += BLOCK) {
        int32_t any = 0;
        for (int32_t j = i; j < i + BLOCK; j++) any |= weight[j] * faded[j] > bar;
        for (int32_t j = i; any && j < i + BLOCK; j++) {
            if (weight[j] * faded[j] <= bar) continue;
            leaders = place(weight[j] * faded[j], j, leaders, most, top, who, with, 0.0);
            if (leaders == most) bar = top[most - 1];
        }
    }
    if (leaders < k) return 0.0f;
    if (leaders == most) *lead = bar * ROUGH;
    for (int32_t i = 0; i < leaders; i++) {
        const uint32_t sale = who[i];
        const double full = weigh_roughly(each, wide, leaves + (int64_t)sale * wide, home) * faded[sale];
        told = place(full, sale, told, k, top, who, with, 0.0);
    }
    return (float)top[k - 1] * ROUGH;
}

/* Whether a sale that some leaf has shown could be among the k. */
static int32_t can_win(float weight, float more, float faded, float bar)
{
    return (weight > 1e-20f) & ((weight + more) * faded >= bar * ROUGH);
}

/* The sales of a month: `trees` deciding trees, of which none has more than `most_leaves`, and `known` believed sales. */
typedef struct {
    int32_t trees, wide, known, most_leaves, sales; /* sales: a whole number of blocks */
    const uint16_t *leaves; /* sales x wide: of each its leaf in every tree, then what is no leaf */
    const int32_t *starts;  /* trees x (most_leaves + 1): into a tree's row of `order` */
    const uint32_t *order;  /* trees x known: leaf by leaf */
    const double *fading;   /* what each counts for its age; they stand in the order of time */
    const float *faded;     /* the same, then 0 */
} grid;

/* What is asked about one home, whose leaf in each tree is in `home`, then what is no leaf of anybody. */
typedef struct {
    const grid *of;
    const uint16_t *home; /* wide */
    const uint32_t *own;  /* sales that don't count */
    int32_t owned, most;  /* that are chosen */
    /* room: of each sale, one more, 2 * trees and wide */
    float *weight;
    uint32_t *rivals;
    share *shares;
    float *each;
    uint32_t *chosen; /* the weightiest first and of equals the earlier */
    double *shared;   /* the share of trees that can't tell each from the home */
    int32_t found;
    job second;
} choice;

static void weightiest(void *asked)
{
    choice *c = asked;
    const grid *g = c->of;
    const int32_t trees = g->trees, wide = g->wide, known = g->known, most_leaves = g->most_leaves, sales = g->sales;
    const int32_t owned = c->owned, k = c->most;
    const uint16_t *leaves = g->leaves, *home = c->home;
    const int32_t *starts = g->starts;
    const uint32_t *order = g->order, *own = c->own;
    const double *fading = g->fading;
    const float *faded = g->faded;
    float *weight = c->weight, *each = c->each;
    uint32_t *rivals = c->rivals, *chosen = c->chosen;
    double *shared = c->shared;
    share *all = c->shares, *sorted = all + trees;
    double left = 0.0;
    memset(each, 0, wide * sizeof *each);
    for (int32_t t = 0; t < trees; t++) {
        const int32_t *start = starts + (int64_t)t * (most_leaves + 1);
        share *s = all + t;
        *s = (share){0.0, 0, order + (int64_t)t * known};
        if (home[t] < most_leaves) {
            s->count = start[home[t] + 1] - start[home[t]];
            s->sales += start[home[t]];
        }
        int32_t counting = s->count;
        for (int32_t i = 0; i < owned; i++) counting -= leaves[(int64_t)own[i] * wide + t] == home[t];
        if (counting > 0) s->each = 1.0 / counting;
        each[t] = (float)s->each;
        left += s->each;
    }
    by_size(all, trees, sorted);
    memset(weight, 0, sales * sizeof *weight);

    int32_t dated = sales; /* without the places that only fill the last block */
    while (dated > 0 && !(faded[dated - 1] > 0.0f)) dated--;

    /* At each look some of the oldest sales that still count are left: of those before from[i] and not before
     * from[i - 1] none can gain more than more[i] any more. */
    int32_t from[LOOKS], looks = 0, counted = 0, done = 0, look = FIRST_LOOK;
    float more[LOOKS], bar = 0.0f, lead = 0.0f;
    while (counted < dated) {
        const share *s = sorted + done++;
        const float given = (float)s->each;
        const share *soon = done + 1 < trees ? s + 2 : s; /* lists lie apart: their ends would be waited for */
        for (int32_t i = 1; i <= FETCHED; i += 16) __builtin_prefetch(soon->sales + soon->count - i);
        for (int32_t i = s->count - 1; i >= 0 && (int32_t)s->sales[i] >= counted; i--) weight[s->sales[i]] += given;
        left -= s->each;
        more[looks] = done < trees ? (float)(left > 0.0 ? left : 0.0) + 1e-6f : 0.0f;
        if (done < trees && done < look && more[looks] * faded[dated - 1] >= bar * LEAVE) continue;
        for (int32_t i = 0; i < owned; i++) weight[own[i]] = 0.0f;
        bar = fmaxf(bar, what_leaders_weigh(&lead, weight, faded, sales, k, each, wide, leaves, home));
        /* Whom no leaf has shown by now, and who is so old that all the rest is too little, can't be among the k. */
        for (int32_t step = 1 << 30; step; step /= 2)
            if (step <= dated - counted && more[looks] * faded[counted + step - 1] < bar * LEAVE) counted += step;
        if (done == trees) counted = dated;
        from[looks++] = counted;
        look *= 2;
    }
    int32_t many = 0, told = 0;
    for (int32_t i = 0, now = 0; i < sales && looks; i += BLOCK) {
        while (now < looks - 1 && i >= from[now]) now++;
        int32_t any = 0;
        for (int32_t j = i; j < i + BLOCK; j++) any |= can_win(weight[j], more[now], faded[j], bar);
        for (int32_t j = i; any && j < i + BLOCK; j++) {
            rivals[many] = j;
            many += can_win(weight[j], more[now], faded[j], bar);
        }
    }
    double top[k], common;
    for (int32_t i = 0; i < many; i++) {
        const uint32_t sale = rivals[i], soon = rivals[i + AHEAD < many ? i + AHEAD : i];
        for (int32_t t = 0; t < wide; t += 32) __builtin_prefetch(leaves + (int64_t)soon * wide + t);
        const uint16_t *its = leaves + (int64_t)sale * wide;
        const float rough = weigh_roughly(each, wide, its, home) * faded[sale];
        if (rough < bar || (told == k && rough < (float)top[k - 1] * ROUGH)) continue;
        const double full = weigh(all, trees, its, home, &common) * fading[sale];
        if (full > 0.0) told = place(full, sale, told, k, top, chosen, shared, common / trees);
    }
    c->found = told;
}

/* Lets the second thread choose for the first home. Until `choose` is over the choices lie still, with all they point
 * to. */
void begin_to_choose(choice *c)
{
    c->second = (job){weightiest, c, 0};
    offer(&c->second);
}

void choose(choice *c, int32_t homes, int32_t is_begun)
{
    for (int32_t i = 0; i < homes; i++)
        if (i || !is_begun || !taken(&c->second)) weightiest(c + i);
}
