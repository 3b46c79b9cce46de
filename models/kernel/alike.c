/* The sales that weigh most beside a home, found without weighing all.
 *
 * Every deciding tree gives each sale in the home's leaf 1 / (sales there). Small leaves give much and come first:
 * once what the rest could still add decides nothing, few sales are left, and only these are weighed to the end, tree
 * by tree in the order of the trees, so that the weights have the bits of a full count. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FEW 64 /* sales that are weighed to the end at once */

typedef struct {
    double each; /* what the leaf gives a sale */
    int32_t count;
    const uint32_t *sales;
} share;

static int by_size(const void *a, const void *b)
{
    int32_t x = ((const share *)a)->count, y = ((const share *)b)->count;
    return (x > y) - (x < y);
}

/* What a sale weighs in all trees, in their order; how many trees can't tell it from the home goes to `common`. */
static double weigh(const share *all, int32_t trees, int32_t sales, const uint16_t *leaves, const uint16_t *home,
                    uint32_t sale, double *common)
{
    double full = 0.0, shared = 0.0;
    for (int32_t t = 0; t < trees; t++) {
        int same = leaves[(int64_t)t * sales + sale] == home[t];
        full += same ? all[t].each : 0.0;
        shared += same;
    }
    *common = shared;
    return full;
}

/* The k sales that have most so far, the most first; returns how many there are. */
static int32_t leaders(const double *weight, const double *fading, const uint32_t *touched, int32_t count, int32_t k,
                       double *top, uint32_t *who)
{
    int32_t told = 0;
    for (int32_t i = 0; i < count; i++) {
        double w = weight[touched[i]] * fading[touched[i]];
        if (told == k && w <= top[k - 1]) continue;
        int32_t at = told < k ? told++ : k - 1;
        for (; at > 0 && top[at - 1] < w; at--) {
            top[at] = top[at - 1];
            who[at] = who[at - 1];
        }
        top[at] = w;
        who[at] = touched[i];
    }
    return told;
}

/* Positions of up to k sales, the weightiest first and of equals the earlier; returns how many.
 *
 * leaves: trees x sales. starts: trees x (most_leaves + 1), into a tree's row of `order`, which has `known` sales leaf
 * by leaf. home: the home's leaf in each tree. own: sales that don't count. fading: of all sales, at most `newest`.
 * weight, touched, shares: room for sales, sales and trees; weight is zero, and left so. */
int32_t weightiest(int32_t trees, int32_t sales, int32_t known, int32_t most_leaves, const uint16_t *leaves,
                   const int32_t *starts, const uint32_t *order, const uint16_t *home, const uint32_t *own,
                   int32_t owned, const double *fading, double newest, int32_t k, double *weight, uint32_t *touched,
                   void *room, uint32_t *chosen, double *shared)
{
    share *all = room, *sorted = all + trees;
    double left = 0.0;
    for (int32_t t = 0; t < trees; t++) {
        const int32_t *start = starts + (int64_t)t * (most_leaves + 1);
        share *s = all + t;
        *s = (share){0.0, 0, order + (int64_t)t * known};
        if (home[t] < most_leaves) {
            s->count = start[home[t] + 1] - start[home[t]];
            s->sales += start[home[t]];
        }
        int32_t counting = s->count;
        for (int32_t i = 0; i < owned; i++) counting -= leaves[(int64_t)t * sales + own[i]] == home[t];
        if (counting > 0) s->each = 1.0 / counting;
        left += s->each;
    }
    memcpy(sorted, all, trees * sizeof(share));
    qsort(sorted, trees, sizeof(share), by_size);

    double top[k], common;
    uint32_t who[k];
    int32_t many = 0, done = 0, since = 0, rivals = 0;
    while (done < trees) {
        const share *s = sorted + done++;
        for (int32_t i = 0; i < s->count; i++) {
            uint32_t sale = s->sales[i];
            if (weight[sale] == 0.0) touched[many++] = sale;
            weight[sale] += s->each;
        }
        left = left > s->each ? left - s->each : 0.0;
        since += s->count;
        if (done < trees && since < 4 * many) continue; /* looking through them costs as much as that */
        since = 0;
        for (int32_t i = 0; i < owned; i++) weight[own[i]] = weight[own[i]] > 0.0 ? 1e-300 : 0.0;
        /* Nobody who can't reach what the k leaders weigh in the end can be among the k. */
        double bar = 0.0, more = left * (1 + 1e-9);
        if (leaders(weight, fading, touched, many, k, top, who) == k) {
            bar = weigh(all, trees, sales, leaves, home, who[0], &common) * fading[who[0]];
            for (int32_t i = 1; i < k; i++) {
                double full = weigh(all, trees, sales, leaves, home, who[i], &common) * fading[who[i]];
                if (full < bar) bar = full;
            }
            bar *= 1 - 1e-9;
        }
        if (done < trees && more * newest >= bar) continue; /* one that no leaf has shown yet could still win */
        rivals = 0;
        for (int32_t i = 0; i < many; i++) rivals += (weight[touched[i]] + more) * fading[touched[i]] >= bar;
        if (rivals <= FEW || done == trees) {
            uint32_t *found = touched;
            for (int32_t i = 0; i < many; i++) {
                uint32_t sale = touched[i];
                int keep = (weight[sale] + more) * fading[sale] >= bar && weight[sale] > 1e-200;
                weight[sale] = 0.0;
                if (keep) *found++ = sale;
            }
            rivals = (int32_t)(found - touched);
            break;
        }
    }
    for (int32_t i = 0; i < k; i++) top[i] = -1.0;
    int32_t told = 0;
    for (int32_t i = 0; i < rivals; i++) {
        uint32_t sale = touched[i];
        double full = weigh(all, trees, sales, leaves, home, sale, &common) * fading[sale];
        if (!(full > 0.0)) continue;
        int32_t at = told < k ? told : k;
        while (at > 0 && (top[at - 1] < full || (top[at - 1] == full && chosen[at - 1] > sale))) at--;
        if (at == k) continue;
        if (told < k) told++;
        for (int32_t j = told - 1; j > at; j--) {
            top[j] = top[j - 1];
            chosen[j] = chosen[j - 1];
            shared[j] = shared[j - 1];
        }
        top[at] = full;
        chosen[at] = sale;
        shared[at] = common / trees;
    }
    return told;
}
