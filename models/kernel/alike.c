/* The sales that weigh most beside a home, found without weighing all.
 *
 * Every deciding tree gives each sale in the home's leaf 1 / (sales there). Small leaves give much and come first:
 * once what the rest could still add decides nothing, some sales are left. These are weighed roughly, in vectors, and
 * the few that could still win to the end, tree by tree in the order of the trees: weights have the bits of a full
 * count. What is rough is of single precision, and a thousandth beside the point never decides. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FEW 700       /* sales that are weighed roughly at once */
#define ROUGH 0.999f  /* of a bar: what is below it is below the bar, however it was rounded */
#define FIRST_LOOK 32 /* trees after which leaders are looked for; then after thrice as many */
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

/* The least that the k sales weigh in the end that have most so far; 0 where there are fewer. */
static float what_leaders_weigh(const float *weight, const float *faded, int32_t sales, int32_t k, const float *each,
                                int32_t wide, const uint16_t *leaves, const uint16_t *home, double *top, uint32_t *who,
                                double *with)
{
    int32_t leaders = 0;
    float bar = 0.0f;
    for (int32_t i = 0; i < sales; i += BLOCK) {
        int32_t any = 0;
        for (int32_t j = i; j < i + BLOCK; j++) any |= weight[j] * faded[j] > bar;
        for (int32_t j = i; any && j < i + BLOCK; j++) {
            if (weight[j] * faded[j] <= bar) continue;
            leaders = place(weight[j] * faded[j], j, leaders, k, top, who, with, 0.0);
            if (leaders == k) bar = top[k - 1];
        }
    }
    if (leaders < k) return 0.0f;
    float least = INFINITY;
    for (int32_t i = 0; i < k; i++)
        least = fminf(least, weigh_roughly(each, wide, leaves + (int64_t)who[i] * wide, home) * faded[who[i]]);
    return least * ROUGH;
}

/* Whether a sale that some leaf has shown could be among the k. */
static int32_t can_win(float weight, float more, float faded, float bar)
{
    return (weight > 1e-20f) & ((weight + more) * faded >= bar * ROUGH);
}

/* Positions of up to k sales, the weightiest first and of equals the earlier; returns how many.
 *
 * leaves: sales x wide, of each sale its leaf in every tree, then what is no leaf. starts: trees x (most_leaves + 1),
 * into a tree's row of `order`, which has `known` sales leaf by leaf. home: the home's leaf in each tree, then what is
 * no leaf of anybody, wide. own: sales that don't count. fading: of all sales, at most `newest`; faded: the same, then 0
 * up to `sales`, a whole number of blocks. weight, rivals, shares, each: room for sales, one more, 2 * trees and wide. */
int32_t weightiest(int32_t trees, int32_t wide, int32_t known, int32_t most_leaves, const uint16_t *leaves,
                   const int32_t *starts, const uint32_t *order, const uint16_t *home, const uint32_t *own,
                   int32_t owned, const double *fading, double newest, const float *faded, int32_t sales, int32_t k,
                   float *weight, uint32_t *rivals, void *shares, float *each, uint32_t *chosen, double *shared)
{
    share *all = shares, *sorted = all + trees;
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

    double top[k], common;
    float bar = 0.0f, more = 0.0f;
    int32_t done = 0, look = FIRST_LOOK, count = 0;
    while (done < trees) {
        const share *s = sorted + done++;
        const float given = (float)s->each;
        const share *soon = done + 1 < trees ? s + 2 : s; /* lists lie apart: their beginnings would be waited for */
        for (int32_t i = 0; i < FETCHED; i += 16) __builtin_prefetch(soon->sales + i);
        for (int32_t i = 0; i < s->count; i++) weight[s->sales[i]] += given;
        left -= s->each;
        more = done < trees ? (float)(left > 0.0 ? left : 0.0) + 1e-6f : 0.0f;
        const int look_now = done == look, count_now = done >= count && more * newest < bar;
        if (done < trees && !look_now && !count_now) continue;
        for (int32_t i = 0; i < owned; i++) weight[own[i]] = 0.0f;
        if (look_now) { /* whoever leads now: nobody who can't reach what these weigh in the end can be among the k */
            bar = fmaxf(bar,
                        what_leaders_weigh(weight, faded, sales, k, each, wide, leaves, home, top, chosen, shared));
            look *= 3;
        }
        if (count_now) { /* no sale that no leaf has shown yet can win any more */
            int32_t left_over = 0;
            for (int32_t i = 0; i < sales; i++) left_over += (weight[i] + more) * faded[i] >= bar;
            if (left_over <= FEW) break;
            count = done + done / 4;
        }
    }
    int32_t many = 0, told = 0;
    for (int32_t i = 0; i < sales; i += BLOCK) {
        int32_t any = 0;
        for (int32_t j = i; j < i + BLOCK; j++) any |= can_win(weight[j], more, faded[j], bar);
        for (int32_t j = i; any && j < i + BLOCK; j++) {
            rivals[many] = j;
            many += can_win(weight[j], more, faded[j], bar);
        }
    }
    for (int32_t i = 0; i < many; i++) {
        const uint32_t sale = rivals[i], soon = rivals[i + AHEAD < many ? i + AHEAD : i];
        for (int32_t t = 0; t < wide; t += 32) __builtin_prefetch(leaves + (int64_t)soon * wide + t);
        const uint16_t *its = leaves + (int64_t)sale * wide;
        const float rough = weigh_roughly(each, wide, its, home) * faded[sale];
        if (rough < bar || (told == k && rough < (float)top[k - 1] * ROUGH)) continue;
        const double full = weigh(all, trees, its, home, &common) * fading[sale];
        if (full > 0.0) told = place(full, sale, told, k, top, chosen, shared, common / trees);
    }
    return told;
}
