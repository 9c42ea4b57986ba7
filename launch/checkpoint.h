/*
 * checkpoint.h - images in flight, in a file that any number of ranks can go on
 * from.
 *
 * A safetensors file. Of each image [rows][columns][channels] of x and of the
 * buffers that its solver still reads (weft_solver_keeps), and the
 * log-densities that it carries; the position of its noise follows from the
 * number of draws. Nothing of displaced patches is kept: their lanes begin
 * anew. The metadata say which images these are, which stage comes next, which
 * images are complete, and what the images are of:
 *
 *   format    "weft checkpoint 1"
 *   identity  JSON; whoever resumes compares it with their own
 *   weights   a hash of each file of weights
 *   done      complete images, as "0-3,7"
 *   items     [{"image": 4, "step": 7, "stage": 0, "draws": 1}, ...]
 *
 * Tensor "check" is a hash of all the rest, so that a file with one bit changed
 * is found. Whatever is in a file, what is handed out is within its bounds.
 */
#ifndef WEFT_LAUNCH_CHECKPOINT_H
#define WEFT_LAUNCH_CHECKPOINT_H

#include <stdint.h>
#include <stdio.h>

#include "core/model/safetensors.h"
#include "core/solve/solver.h"

enum { WEFT_KEPT = 8 }; /* buffers of a solver that can be kept, at most */

/* One image on its way. */
typedef struct weft_saved {
    int image;       /* of the list of seeds */
    int step, stage; /* the solver's, that come next; step == steps: none */
    int at;          /* the same of the plan's stages; weft_checkpoint_fit */
    uint32_t draws;  /* of its noise so far */
    const weft_st_tensor *x;
    const weft_st_tensor
        *kept[WEFT_KEPT];          /* by the number of the buffer; NULL */
    const weft_st_tensor *density; /* [models]; or NULL */
} weft_saved;

typedef struct weft_checkpoint {
    weft_st *st;
    const char *identity, *weights, *done; /* of st */
    weft_saved *item;                      /* [n], by image */
    int n;
    uint64_t check;
} weft_checkpoint;

/* ---- reading ------------------------------------------------------------- */

/* *Local*. All that can be known without knowing the run. WEFT_EINPUT: not a
 * checkpoint, or damaged. */
weft_status weft_checkpoint_open(const char *path, weft_checkpoint *c);
void weft_checkpoint_close(weft_checkpoint *c);
/* Is it meant to be one? */
bool weft_checkpoint_is(const weft_st *st);

/* `done` as one byte for each of n images. WEFT_EINPUT: not numbers below n. */
weft_status weft_checkpoint_done(const weft_checkpoint *c, int n,
                                 unsigned char *done);

/* Is it of samples that this solver makes, of this size? Fills in `at` of every
 * item. WEFT_EINPUT says what does not fit. */
typedef struct weft_checkpoint_fit {
    const weft_solver *solver;
    int rows, columns, channels, images;
} weft_checkpoint_fit;

weft_status weft_checkpoint_fits(const weft_checkpoint *c,
                                 const weft_checkpoint_fit *fit);

/* What differs between two identities, in words: "sample.steps was 30 and is
 * 20". WEFT_OK: nothing. */
weft_status weft_checkpoint_same(const char *was, const char *is);

/* In words. */
weft_status weft_inspect_checkpoint(const char *path, FILE *out);

/* ---- writing ------------------------------------------------------------- */

/* The texts of a checkpoint; borrowed. */
typedef struct weft_checkpoint_head {
    const char *identity, *weights;
    const unsigned char *done; /* [images] */
    int images;
} weft_checkpoint_head;

/* What is to be written of an image: its tensors are there, or come by
 * weft_checkpoint_rows. */
typedef struct weft_keep {
    int image, step, stage;
    uint32_t draws;
    unsigned kept;         /* bit b: buffer b */
    const double *density; /* [models]; borrowed */
    int models;
} weft_keep;

typedef struct weft_checkpoint_writer weft_checkpoint_writer;

/* *Local*. */
weft_status weft_checkpoint_create(const char *path,
                                   const weft_checkpoint_head *head,
                                   const weft_keep *item, int n, int rows,
                                   int columns, int channels,
                                   weft_checkpoint_writer **w);
/* The next rows, [n][columns][channels], of x (buffer -1) or a buffer of item
 * `i`. Every tensor gets its rows from the top down. */
weft_status weft_checkpoint_rows(weft_checkpoint_writer *w, int i, int buffer,
                                 int row, int rows, const float *data);
/* Frees w. The file is there, whole. */
weft_status weft_checkpoint_finish(weft_checkpoint_writer *w);
void weft_checkpoint_abandon(weft_checkpoint_writer *w);

/* One file of several, at `path`: of each image the state that is furthest
 * ahead, unless one of them has it complete. They must be of one identity. */
weft_status weft_checkpoint_merge(const weft_checkpoint *from, int n,
                                  int images, const char *path);

#endif
