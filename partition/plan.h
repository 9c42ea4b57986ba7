/*
 * plan.h - who does what, as plain data.
 *
 * Everything that a run decides before its first step: the grid, each patch's
 * rows, the batches, and for every net the memory, the messages and the work
 * of one evaluation. A plan needs no MPI and no weights; it checks itself,
 * prints itself, and has a hash that all ranks compare before step 0.
 *
 * Message counts are exact: a run counts the same (tested).
 */
#ifndef WEFT_PARTITION_PLAN_H
#define WEFT_PARTITION_PLAN_H

#include <stdio.h>

#include "core/net/graph.h"
#include "partition/cost.h"
#include "partition/grid.h"
#include "partition/pipeline.h"
#include "partition/roles.h"

/* Payload of all ranks of one group together, counted at the sender. */
typedef struct weft_volume {
    uint64_t bytes[WEFT_CLASSES], messages[WEFT_CLASSES];
} weft_volume;

enum { WEFT_PLAN_NETS = 4 * WEFT_ROLES, WEFT_PLAN_LANES = 32 };

/* What is loaded, used and given back before the first step, one after the
 * other, unless it stays: text encoders. Borrows its name. */
typedef struct weft_plan_reader {
    const char *name;
    size_t file_bytes, weight_bytes;   /* in the file; packed, once on a node */
    size_t block_bytes, scratch_bytes; /* of each rank; of each worker */
} weft_plan_reader;

/* When the packed weights of a net are there. */
typedef enum weft_plan_phase {
    WEFT_PHASE_STEPS, /* while others sample */
    WEFT_PHASE_LATER, /* in the last steps, where those of other steps are given
                         back for them: weft_plan_phase_of */
    WEFT_PHASE_BEFORE, /* given back before those of others are there */
    WEFT_PHASE_AFTER, /* loaded when those of others are given back; where there
                         is more than one batch, while they sample */
    WEFT_PHASES
} weft_plan_phase;

/* One net as a plan sees it: asked by one role about a batch of fixed size. */
typedef struct weft_plan_net {
    int role; /* of the plan's; its ranks evaluate it */
    const weft_graph *graph;
    int file;       /* whose net it is: a number of the caller's */
    int weights;    /* nets with equal numbers have one piece of memory for
                       their packed weights */
    int conditions; /* 2: both conditions of a sample, in one batch */
    const weft_cluster *machine; /* as measured with this net; borrowed. NULL:
                                    the plan's */
    int evaluations;             /* calls per batch of images ... */
    bool each_image;             /* ... or per image, one at a time */
    bool once;         /* ... or in all, on one image, before the first step */
    size_t file_bytes; /* of its weights in the checkpoint */
    weft_plan_phase phase;
    int askers; /* that keep each what it makes of a text (layout.held) */
    size_t text_bytes; /* of a sample's text, as it is told; 0: of none */
    int lanes;         /* kinds of questions that it is asked; 0: one */
    int in_lane[WEFT_PLAN_LANES]; /* the evaluations of each */
    /* filled in by weft_plan_make: */
    int n;               /* samples that one evaluation takes */
    size_t weight_bytes; /* of that piece of memory, once per node */
    size_t block_bytes, scratch_bytes; /* the largest rank's; per worker */
    size_t max_rows_held, max_rows_image;
    double flops;        /* of one evaluation, all patches */
    double share;        /* of the flops that the busiest patch does */
    double seconds;      /* expected, of one evaluation */
    weft_schedule sched; /* in step where its role has one patch */
    size_t past_bytes;   /* the largest rank's, all lanes of all flights */
    weft_volume first;   /* of an image's first evaluation of a lane, with what
                            it tells other roles, ... */
    weft_volume volume;  /* ... of another one in step ... */
    weft_volume displaced; /* ... and of a displaced one */
    weft_volume ballot;    /* of agreeing on a drift, in all evaluations of a
                              lane but two */
    weft_volume told;      /* of a batch's texts, from those who read them */
} weft_plan_net;

typedef struct weft_plan {
    /* asked */
    int ranks;
    int across; /* ranks side by side. What the grid, roles and turns call a
                   rank is a line of so many, which have the same rows */
    int group;  /* lines on one batch of images; 0: as many as are of use */
    const double *weights; /* [nweights], of the lines of a group; borrowed.
                              NULL: all alike, or as `speed` says */
    int nweights;
    const double *speed; /* [ranks], as measured; borrowed, or NULL */
    weft_role_spec role[WEFT_ROLES]; /* ranks 0: all of the group. Role 0 leads:
                                        its rows are the latents written */
    int nroles, vae;                 /* role that decodes; -1: none */
    int gives_latents;               /* role whose ranks hand out latents: 0, or
                                        the vae's, which have them too */
    bool share;                      /* roles may share ranks */
    bool swaps;        /* several batches too: nets of other steps take turns in
                          memory, and are loaded anew in each batch */
    int width, height; /* pixels */
    int rows, columns, channels; /* of the latent */
    int unit, strip;   /* latent rows and columns that are never divided */
    int images, batch; /* in all; at once in a flight */
    int flights;       /* batches under way in a group */
    int steps, threads;
    int row_scale;              /* rows of the picture per latent row */
    size_t picture_pixel_bytes; /* sent to the writer; 0: no picture */
    size_t latent_pixel_bytes;  /* likewise; 0: latents are not written */
    int totals, sums; /* of a batch: how often its ranks add up over whole
                         images, and how many sums of an image in all */
    int keep_steps;   /* a checkpoint every so many steps of a group; 0: none */
    size_t state_bytes_per_row;  /* the solver's, per latent row of the whole
                                    width and sample */
    const char *kernels;         /* borrowed */
    const weft_device *dev;      /* borrowed */
    const weft_cluster *machine; /* what ranks and messages between them are
                                    supposed to cost; borrowed */
    const char *costs;           /* where that is from, in words; borrowed */
    weft_schedule sched;         /* of the nets that sample */
    weft_plan_net net[WEFT_PLAN_NETS];
    int nnets;
    const weft_plan_reader *reader; /* [nreaders]; borrowed */
    int nreaders;
    bool readers_stay; /* every batch in flight is told texts of its own */
    const weft_stage *stage; /* [nstages], of a batch; borrowed. Their lanes are
                                the nets */
    int nstages;
    uint64_t identity; /* hash of whatever else must be equal */
    /* made */
    weft_grid grid; /* of lines */
    int units, strips;
    int *first_strip;   /* [across + 1], of each column of ranks; owned */
    double *line_speed; /* [lines of a group], or NULL; owned */
    weft_roles roles;
    weft_lane_cost lane[WEFT_PLAN_NETS];
    weft_forecast forecast; /* of group 0 */
    weft_forecast sampling; /* the same as if decoding took no time: what a run
                               counts as sampling */
    weft_volume output;     /* of one image */
    weft_volume plane;      /* of one plane of one image, to a checkpoint */
    weft_volume pace;       /* of one turn, to ranks that keep no state */
    weft_volume summed;     /* of one batch's sums over whole images */
    uint64_t hash;
} weft_plan;

enum { WEFT_STREAM_PIECE = 16 }; /* rows of a picture in one message, at most */

/* Fill in the rest, or WEFT_EINPUT with the numbers. On failure nothing is
 * left to release. */
weft_status weft_plan_make(weft_plan *p);
void weft_plan_release(weft_plan *p);
/* The same plan of another number of images: what is counted and forecast. */
weft_status weft_plan_recount(weft_plan *p, int images);

/* Every row is owned once, every part is as the grid says. WEFT_MUST-like: a
 * failure is weft's own mistake. */
bool weft_plan_is_valid(const weft_plan *p);

/* How a role's image is cut; me: where rank `rank` of the group is in it, or
 * -1. Borrows from the plan. */
weft_cut weft_plan_cut(const weft_plan *p, int role, int rank);
/* Ranks of a group. */
int weft_plan_group(const weft_plan *p);
/* Cells of latent and picture. */
weft_cell weft_plan_latent_cell(const weft_plan *p);
weft_cell weft_plan_picture_cell(const weft_plan *p);
/* The columns and the rows of state that rank `rank` of a group keeps, of the
 * latent. */
weft_rect weft_plan_latent(const weft_plan *p, int rank);
/* Those that it evaluates in a role. */
weft_rect weft_plan_role_latent(const weft_plan *p, int role, int rank);

/* The role that reads texts; -1: every rank those that its nets are told. */
int weft_plan_reads(const weft_plan *p);
/* Whether texts come from ranks of that role, batch by batch. */
bool weft_plan_texts_travel(const weft_plan *p);
/* Of the samples of net i: those whose text each line of a group reads, and
 * those whose text it wants; [lines]. They travel. */
void weft_plan_texts(const weft_plan *p, int i, weft_span *have,
                     weft_span *want);
/* What that sends for one batch, of all columns. */
weft_status weft_plan_texts_volume(const weft_plan *p, int i, weft_volume *v);
/* Who keeps no state is told of every turn by the line of role 0 that has the
 * first rows, so that it is never ahead, and can be stopped: who tells, and who
 * is told, [lines]. */
void weft_plan_pace(const weft_plan *p, weft_span *have, weft_span *want);
/* What that sends in one turn, of all columns. */
weft_status weft_plan_pace_volume(const weft_plan *p, weft_volume *v);

/* What `totals` send, of one batch: mpi/total.h. */
weft_volume weft_plan_totals(const weft_plan *p);

/* Batches of a group, and the order of its turns. */
int weft_plan_batches(const weft_plan *p, int group);
weft_pipeline_spec weft_plan_pipeline(const weft_plan *p, int group);

/* What the turns of group 0 take if an evaluation of net i takes lane[i]. */
weft_status weft_plan_forecast(const weft_plan *p, const weft_lane_cost *lane,
                               weft_forecast *f);

/* What one evaluation of net `i` would cost over a cut: the busiest patch's
 * work, and its messages. For placing, before a plan is made. */
double weft_plan_seconds(const weft_plan *p, int i, const weft_cut *cut);
/* ... and what a turn that asks it costs: all images of the batch. */
weft_lane_cost weft_plan_lane(const weft_plan *p, int i, const weft_cut *cut);

/* What predictions take to those who need them, where they come from others:
 * the most that a rank is sent. 0: nothing moves. */
double weft_plan_hop(const weft_plan *p, const weft_roles *r);

/* Images of group g: first .. first of g + 1, of the list of seeds. */
int weft_plan_first_image(const weft_plan *p, int group);

/* When the weights of net i are there. Those of WEFT_PHASE_LATER are with those
 * of WEFT_PHASE_STEPS where no rank would hold both, and where loading them
 * anew for each batch is not asked for (`swaps`); those of WEFT_PHASE_AFTER
 * where there are several batches. */
weft_plan_phase weft_plan_phase_of(const weft_plan *p, int i);
/* Whether a rank would hold net i, all the time, beside another that samples.
 */
bool weft_plan_is_beside(const weft_plan *p, int i);
/* Of a stage: WEFT_PHASE_LATER or WEFT_PHASE_STEPS. */
weft_plan_phase weft_plan_stage_phase(const weft_plan *p,
                                      const weft_stage *stage);

/* Memory of one rank, by use. */
typedef struct weft_plan_memory {
    size_t weights_share; /* the node's packed weights, over its ranks: the most
                             that are there at once, with those of readers
                             where they stay */
    size_t activations, scratch, state, past, held;
    size_t reading; /* before the first step: the largest of the readers that
                       this rank has */
    size_t total;   /* the most at any time */
} weft_plan_memory;

/* `rank` of the group; `ranks_on_node` share one copy of the weights. */
weft_plan_memory weft_plan_memory_of(const weft_plan *p, int rank,
                                     int ranks_on_node);

/* Bytes of the fullest node, whose ranks share one copy of each net's weights.
 * Ranks fill the nodes in order. */
size_t weft_plan_node_memory(const weft_plan *p, int ranks_per_node);

/* Planes of all images in flight that group 0 writes to checkpoints on its way,
 * every keep_steps steps. */
uint64_t weft_plan_planes(const weft_plan *p);

/* Payload of one group's images: what a run counts that nobody stops. */
weft_volume weft_plan_total(const weft_plan *p);

/* The volume of one evaluation of a graph over a cut, in step. `full`: of an
 * image's first, whose messages are no residuals. */
weft_volume weft_plan_graph_volume(const weft_graph *g, int n,
                                   const weft_cut *cut, weft_schedule sched,
                                   bool full);
/* The same of a displaced one. */
weft_volume weft_plan_graph_displaced(const weft_graph *g, int n,
                                      const weft_cut *cut, weft_schedule sched);
/* Memory of the past of one lane of the graph on patch cut->me. */
weft_status weft_plan_graph_past(const weft_graph *g, int n,
                                 const weft_cut *cut, weft_schedule sched,
                                 size_t *bytes);
/* Of all lanes of all flights of a net of the plan, with columns on their way.
 */
weft_status weft_plan_net_past(const weft_plan *p, const weft_plan_net *net,
                               const weft_cut *cut, size_t *bytes);
/* What agreeing on a drift sends each time; nothing without a drift. */
weft_volume weft_plan_ballot(const weft_cut *cut, weft_schedule sched);
/* Of the first `evaluations` of a lane, those that are displaced. */
int weft_plan_displaced(weft_schedule sched, int evaluations);

void weft_plan_print(const weft_plan *p, FILE *to);
/* Of that: which ranks have which role, and how busy they are to be. */
void weft_plan_print_roles(const weft_plan *p, FILE *to);
/* One object; `first` are members to begin with, each with its comma. */
void weft_plan_print_json(const weft_plan *p, const char *first, FILE *to);

#endif
