/* What forests are as flat arrays, for the files of the kernel. `models/kernel/flat.py` makes them. */

#ifndef ASSAY_FOREST_H
#define ASSAY_FOREST_H

#include <stdint.h>

#define MOST_NODES 1024 /* of a tree */
#define FIRST_LEAF 1032 /* a little further: else products of nodes and leaves would share their places in the cache */

typedef struct {
    uint16_t slot, rank; /* left where the home's rank of the slot is at most this */
    uint16_t child[2];   /* left, right, each after its parent; a leaf counts from FIRST_LEAF */
    uint16_t earlier;    /* 1 + the edge above, 2 * node + side, that asks of the same feature; 0 where none does */
    uint16_t feature;
    uint32_t spares;     /* the leaves, from left to right, that stay possible where a home goes right, as bits */
} node;

/* What a node passes on to left and right, as shares of its training rows; and that times what earlier edges that ask of
 * the same feature have passed on. */
typedef struct {
    float share[2], passed_on[2];
} edges;

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
    const edges *edges;
    const double *value;   /* of the leaves, by their numbers */
    const double *ordered; /* of the leaves, from left to right */
    const uint16_t *number; /* of the leaves, from left to right */
    const uint8_t *points; /* of quadrature that are exact for the tree: 4, 8 or 16 */
} forest;

/* What each slot would be told of `count` homes, rows of features: asked[s * count + home]. */
void ask(const forest *f, const double *rows, int32_t count, uint16_t *asked);

/* The leaf of a home, whose ranks stand `apart` from each other. */
int32_t leaf_of(const forest *f, int32_t tree, const uint16_t *asked, int32_t apart);

#endif
