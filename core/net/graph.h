/*
 * graph.h - a net as plain data: values, and layers between them.
 *
 * Building a net from its config makes a graph and touches no weights, no
 * ranks and no memory for activations; so `weft plan` can lay out any net for
 * any number of ranks. A value is an activation: rows_per_unit rows for every
 * unit of the cut, w columns in strips of `strip`, c channels. A vector value
 * (embeddings) has no rows: [n][c], the same on every rank; a sequence (a text)
 * is a vector of w columns, [n][w][c].
 *
 * What a text makes of itself does not change from step to step. Values that
 * depend on nothing but what is *given* (a text, its size) are *held*: they lie
 * in memory of the lane's own, beside the block, and the nodes that make them
 * run once for all evaluations, in weft_graph_prepare. A hint, what another net
 * saw in a picture, is given likewise; it has rows, as an activation.
 *
 *     weft_graph_init(&g, cell, channels);
 *     h = weft_add_conv(&g, "conv_in", g.input, ...);    core/layer/...
 *     ...
 *     WEFT_TRY(weft_graph_finish(&g, h));
 *
 * Builders report failure once: an error sticks to the graph, later calls do
 * nothing, and weft_graph_finish returns it.
 */
#ifndef WEFT_CORE_NET_GRAPH_H
#define WEFT_CORE_NET_GRAPH_H

#include "core/clock.h"
#include "core/device/device.h"
#include "core/exchange.h"

/* Index of a value in its graph; WEFT_NONE for "there is none". */
typedef int weft_val;
enum { WEFT_NONE = -1 };

typedef struct weft_value {
    int rows_per_unit; /* 0: a vector */
    int w, c;          /* columns of the whole image; channels */
    int strip;         /* columns that no cut divides (core/cut.h) */
    int above, below;  /* spare rows, the most that any consumer wants */
    bool shared;       /* needed only where the image has several patches */
    bool whole;        /* spans the image (keys and values, moments) */
    bool held;         /* lies beside the block; given, or made once */
    bool kept;         /* until the evaluation is over, as the output is */
    int made, last;    /* nodes that write it first and read it last */
} weft_value;

/* One packed weight: a conv's matrix, or plain float vectors. Floats without
 * sources are not in the file: the net's config gives them. */
typedef enum weft_weight_kind {
    WEFT_WEIGHT_CONV,  /* packed by the device for `conv`, in its wtype */
    WEFT_WEIGHT_FLOAT, /* converted to float, element order kept */
    WEFT_WEIGHT_TABLE, /* the same as graph->wtype: rows are looked up */
} weft_weight_kind;

enum { WEFT_MAX_SOURCES = 3 };

/* A weight of no tensor: a thin matrix that stands beside another weight, made
 * of what is added to that (weft_graph_beside). */
typedef enum weft_thin {
    WEFT_NOT_THIN,
    WEFT_THIN_DOWN,
    WEFT_THIN_UP
} weft_thin;

/* scale * up * down, to be added to one tensor of a weight. The matrices lie in
 * a file that stays open until the weight is packed (core/model/lora.h). */
typedef struct weft_low_rank {
    int source; /* which tensor */
    int rank;
    float scale;
    const void *up, *down; /* [first dimension][rank], [rank][all others] */
    weft_dtype up_type, down_type;
    const char *file, *up_name, *down_name; /* for messages; as long as that */
} weft_low_rank;

typedef struct weft_weight {
    weft_weight_kind kind;
    int nsrc;
    char *name[WEFT_MAX_SOURCES];   /* tensor names in the file; owned */
    int shape[WEFT_MAX_SOURCES][4]; /* expected; unused dimensions 0 */
    int part, parts; /* which part of every tensor's first dimension, out of
                        how many equal ones, it is made of; 0, 0: the whole */
    weft_conv conv;  /* kind CONV */
    size_t count;    /* kinds FLOAT, TABLE: elements in all */
    weft_dtype type; /* kind TABLE */
    float *constant; /* nsrc 0: the floats; owned */
    weft_low_rank *added; /* [nadded]; owned. Kind CONV only */
    int nadded;
    int down, up;   /* where conv.rank is not 0: its thin matrices */
    weft_thin thin; /* kind CONV, nsrc 0: which it is, ... */
    int of;         /* ... and of which weight */
} weft_weight;

typedef struct weft_graph weft_graph;
typedef struct weft_node weft_node;
typedef struct weft_run weft_run;
typedef struct weft_layout weft_layout;

/* A layer: one of the five seams. What it exchanges is data (weft_want), set
 * by its builder; what it computes is code:
 *   forward  the layer itself, on my rows
 *   scratch  bytes that each worker needs in a layout (NULL: none)
 *   flops    of n samples on `units` out of `total_units` (NULL: not counted)
 */
typedef struct weft_layer_ops {
    const char *kind; /* class in reports: "conv3x3", "linear", ... */
    weft_status (*forward)(const weft_graph *g, int node, weft_run *run);
    size_t (*scratch)(const weft_graph *g, int node, const weft_device *dev,
                      const weft_layout *l);
    double (*flops)(const weft_graph *g, int node, int n, int units,
                    int total_units);
} weft_layer_ops;

/* One slot that a node wants, of value `val`. BORDER: rows, at most the value's
 * spare ones, and columns around an activation; ALL: a `whole` value, of which
 * each patch has written its own part. */
typedef struct weft_want {
    weft_reach reach;
    weft_class class;
    weft_val val;
    weft_border border;
} weft_want;

enum {
    WEFT_NODE_IN = 4,
    WEFT_NODE_WEIGHTS = 20,
    WEFT_NODE_TEMPS = 5,
    WEFT_NODE_WANTS = 8,
};

struct weft_node {
    const weft_layer_ops *ops;
    char *name; /* the module's name in the file: "down_blocks.0.resnets.1" */
    weft_val in[WEFT_NODE_IN], out;
    weft_val temp[WEFT_NODE_TEMPS];  /* live during this node only */
    int weight[WEFT_NODE_WEIGHTS];   /* indices into graph->weight, or NONE */
    weft_want want[WEFT_NODE_WANTS]; /* slots, in the order of their ids */
    int nwants;
    int slot;  /* of the first want, counted over the graph */
    int next;  /* the first node that wants a border of `out`, or NONE; made by
                  weft_graph_finish */
    bool once; /* made by weft_graph_prepare; `out` is held. No wants */
    int over;  /* index into in[]: the output may take that input's place when
                 nobody reads it later and both have one shape; NONE */
    union {
        weft_conv conv;
        struct {
            int groups;
            float eps;
            weft_act act;
        } norm;
        struct {
            int heads, dim, shares; /* shares of the heads, by turns */
            int ahead;              /* shares on their way at once */
            weft_conv kv, q, out;   /* kv of one share */
            float scale;            /* of scores */
            bool causal;
        } attend;
        struct {
            int of;    /* weft_embed_of */
            bool flip; /* cos before sin */
            bool log;
            float shift;
        } embed;
        struct {
            float mul, add;
            weft_act act;
        } map;
        int hint;     /* whose scale a term is multiplied by */
        bool up;      /* resample */
        int pick;     /* a token id */
        int farthest; /* relative: what lies in the last bucket */
    } u;
};

/* What is known before a net is first evaluated for an image. */
typedef enum weft_given {
    WEFT_GIVEN_TEXT,  /* [n][tokens][c]: a text's encoding */
    WEFT_GIVEN_ADDED, /* [n][c]: what else is told of it (SDXL) */
    WEFT_GIVEN_GUIDE, /* [n][c]: how strongly to follow it (distilled nets) */
    WEFT_GIVENS,
} weft_given;

enum { WEFT_HINTS = 8 };

struct weft_graph {
    weft_cell cell; /* of the input */
    weft_value *value;
    weft_node *node;
    weft_weight *weight;
    int nvalues, nnodes, nweights;
    int room[3];
    char prefix[160]; /* put before every name, "decoder." or "" */
    weft_dtype wtype; /* of the weights in the file; set before building */
    /* Nets of one file, whose packed weights lie in one piece of memory: what
     * they have in common is there once. Borrowed; this one is among them.
     * 0: it is alone. */
    const weft_graph *const *kin;
    int nkin;
    weft_val input, output;
    weft_val given[WEFT_GIVENS]; /* NONE: not asked for */
    weft_val hint[WEFT_HINTS];   /* what is seen in pictures to follow; held */
    int nhints;
    weft_status status;
    char *why;
};

/* `cell`: rows and columns of the input that no cut divides, and how wide it
 * is; `c`: its channels. */
void weft_graph_init(weft_graph *g, weft_cell cell, int c);
void weft_graph_release(weft_graph *g);
/* Returns the first failure of the builders, its text restored. Computes live
 * ranges; call once, when the net is complete. */
weft_status weft_graph_finish(weft_graph *g, weft_val output);

/* A value that is looked at after the evaluation; before weft_graph_finish. */
void weft_graph_keep(weft_graph *g, weft_val v);

/* For builders. A new node has no inputs, temps, weights or wants (NONE); its
 * pointer is valid until the next node is made. A temp is a value made with
 * weft_graph_value and named in node->temp; `whole` is set by the layer. */
weft_status weft_graph_fail(weft_graph *g, const char *fmt, ...)
    WEFT_PRINTF(2, 3);
weft_val weft_graph_value(weft_graph *g, int rows_per_unit, int w, int c);
/* A value with one column for each strip of the cut. */
weft_val weft_graph_strips(weft_graph *g, int rows_per_unit, int c);
/* One more value that is given, of so many rows a unit: my rows of what is seen
 * in a picture. */
weft_val weft_graph_hint(weft_graph *g, int rows_per_unit, int w, int c);
/* A value that is given: w columns, 1 where it is no sequence. The same one for
 * all who ask for it. */
weft_val weft_graph_give(weft_graph *g, weft_given what, int w, int c);
weft_node *weft_graph_node(weft_graph *g, const weft_layer_ops *ops,
                           const char *name);
/* Node d, which reads nothing but held values, runs once. */
void weft_graph_once(weft_graph *g, weft_node *d);
int weft_graph_weight(weft_graph *g, const weft_weight *w);
/* Add to weight i, which is then packed as float; `t` is copied. */
weft_status weft_graph_add_to(weft_graph *g, int i, const weft_low_rank *t);
/* Once all is added: what can be is not merged with the weights it is added to,
 * which are packed as they are, but computed beside them, each time. What takes
 * more room that way is merged. Before a layout is made. */
weft_status weft_graph_beside(weft_graph *g);
/* What packing makes of weight i is the first such among g's kin; else another
 * net's will do. */
bool weft_graph_is_first(const weft_graph *g, int i);
/* Packed. */
size_t weft_weight_bytes(const weft_weight *w, const weft_device *dev);
/* Raise the spare rows of a value that a border is received into. */
void weft_graph_spare(weft_graph *g, weft_val v, int above, int below);
/* Borrowed until the next value is made. */
weft_value *weft_graph_at(const weft_graph *g, weft_val v);
/* node->name with the prefix; NAME.suffix with the prefix. Owned. */
char *weft_graph_name(const weft_graph *g, const char *name,
                      const char *suffix);

/* ---- layout: where everything lies, for one rank ------------------------- */

/* Memory of one evaluation of `n` samples on one patch: offsets in bytes into
 * one block. Values that are never alive together share memory. */
struct weft_layout {
    int n;
    int units, total_units;   /* of rows: mine, the image's */
    int strip_from, strip_to; /* of columns: mine */
    size_t *offset;           /* [nvalues]: of row 0, behind its spare rows */
    bool *held;               /* [nvalues]: not in the block, but beside it */
    size_t bytes, held_bytes; /* of both, to be aligned to 64 */
    size_t scratch;           /* per worker */
    size_t *weight;           /* [nweights]: offset into the packed weights */
    size_t weight_bytes;      /* packed, of all kin */
    size_t max_rows_held;  /* of any value that is not `whole`, in rows ... */
    size_t max_rows_image; /* ... and the rows that it has in the image */
};

/* Only where the packed weights lie: the same for all patches and batches. */
weft_status weft_layout_weights(const weft_graph *g, const weft_device *dev,
                                weft_layout *l);
/* For patch cut->me; the cut is not needed afterwards. */
weft_status weft_layout_make(const weft_graph *g, const weft_device *dev, int n,
                             const weft_cut *cut, weft_layout *l);
void weft_layout_release(weft_layout *l);
/* Columns of a value that the layout's patch holds. */
int weft_layout_columns(const weft_layout *l, const weft_value *v);

/* The level of the net that a node's first input is of: rows per unit. */
int weft_graph_level(const weft_graph *g, int node);
/* Operations of a node in one evaluation; 0 where they are not counted. */
double weft_graph_flops(const weft_graph *g, int node, int n, int units,
                        int total_units);

/* Declare every slot of the graph on a lane for batches of n, then tie them to
 * memory. Slot ids count from `first`, the lane's slots before the call. */
weft_status weft_graph_declare(const weft_graph *g, int n, weft_exchange *x);
weft_status weft_graph_bind(const weft_graph *g, const weft_layout *l,
                            char *block, weft_exchange *x, int first);

/* ---- run ----------------------------------------------------------------- */

/* Everything a forward pass needs; set up in the plan, changed by nobody. */
struct weft_run {
    const weft_device *dev;
    weft_pool *pool;
    weft_exchange *x;
    const weft_layout *layout;
    char *block;
    char *held; /* layout->held_bytes, of this lane alone; NULL where 0 */
    const char *weights; /* packed */
    const float *time;   /* [n] time steps of this evaluation */
    const float *label;  /* [n] class labels; NULL without */
    const float *follow; /* [nhints] how much of what each control net adds is
                            added in this evaluation; NULL: all of it */
    int first_slot;      /* of the graph on this lane */
    int slot;            /* of the node under way: its first */
    double *seconds;     /* [nnodes] time per layer is added up, or NULL */
    int node;            /* under way, for messages */
    bool lenient;        /* what is not a number is passed on, so that other
                            samples of the batch come out right */
};

/* Row 0 of a value (of the image, if it is `whole`). */
float *weft_run_value(const weft_run *run, weft_val v);
/* My rows of it; 1 for a vector. My columns. */
int weft_run_rows(const weft_graph *g, const weft_run *run, weft_val v);
int weft_run_columns(const weft_graph *g, const weft_run *run, weft_val v);
/* Packed weight i; NULL for NONE. */
const void *weft_run_weight(const weft_run *run, int i);

/* Publish slot k of node `node`, unless that was done when its rows were made.
 */
weft_status weft_run_put(const weft_graph *g, weft_run *run, int node, int k);
/* How many of the first and last rows of a node's output the next layer's
 * neighbours want; 0 where nobody does, or wants columns too. A layer that can
 * makes them first and says so with weft_run_border_made; then they travel
 * while it makes the others. Where it does not, they leave when it is done. */
typedef struct weft_edges {
    int upper, lower;
} weft_edges;

weft_edges weft_run_edges(const weft_graph *g, const weft_run *run, int node);
weft_status weft_run_border_made(const weft_graph *g, weft_run *run, int node);

/* All given values are filled in: make what is held. Local; the block is used.
 */
weft_status weft_graph_prepare(const weft_graph *g, weft_run *run);
/* One evaluation: the input must be filled, the output value is. */
weft_status weft_graph_eval(const weft_graph *g, weft_run *run);

#endif
