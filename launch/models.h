/*
 * models.h - the nets of a run, and the labels that they are asked about.
 *
 * *Local.* Opens the models that the method takes and the autoencoder, each
 * file once however many models are made of it, and refuses in words what does
 * not go together: latent spaces, predictions, labels.
 */
#ifndef WEFT_LAUNCH_MODELS_H
#define WEFT_LAUNCH_MODELS_H

#include "launch/method.h"
#include "launch/netfile.h"

enum { WEFT_FILES = 2 * WEFT_MODELS + 2 };

/* What one model is told. */
typedef struct weft_labels {
    bool any; /* the model takes labels */
    float cond, uncond;
} weft_labels;

typedef struct weft_models {
    weft_netfile file[WEFT_FILES];
    const char *path[WEFT_FILES];                 /* borrowed from the config */
    const weft_config_model *changes[WEFT_FILES]; /* whose LoRAs change it, and
                                                     whose control nets are in
                                                     it */
    int nfiles;
    bool apart; /* models may have ranks of their own */
    /* Files of one path that differ in their LoRAs, or of which one has control
     * nets more, are kin: their packed weights lie together, unless that would
     * bring control nets to ranks that have no use for them. The first of each
     * one's kin, and their graphs. */
    int head[WEFT_FILES];
    const weft_graph *kin[WEFT_FILES][WEFT_MODELS]; /* by head, ... */
    int nkin[WEFT_FILES];                           /* ... so many */
    int of[WEFT_MODELS]; /* which file a model of the method is in; -1: it is
                            analytic and has none */
    int channels;        /* of the sample */
    bool paints;         /* the models are told a mask and a masked picture */
    int vae;             /* file; -1: the sample is the picture */
    int encoder;         /* the same again, for sample.image; -1: not wanted */
    int sight[WEFT_MODELS][WEFT_CONTROLS]; /* which file sees the picture of a
                                              model's control net */
    weft_labels label[WEFT_MODELS];
} weft_models;

/* Also says of the method's models which are guided by themselves. On failure
 * what was opened is still to be closed. */
weft_status weft_models_open(weft_method *m, weft_models *s);
/* Whether file i of `a` and k of `b` hold the same weights. */
bool weft_models_same_file(const weft_models *a, int i, const weft_models *b,
                           int k);
/* A hash of some bytes of every tensor that file i is made of, and what to say
 * of it behind the path where it is not alone. */
uint64_t weft_models_sample(const weft_models *s, int i);
const char *weft_models_more(const weft_models *s, int i);
/* Once the method is listed. */
weft_status weft_models_label(const weft_method *m, weft_models *s);
void weft_models_close(weft_models *s);
/* Tell the graphs, which are built, of their kin. */
void weft_models_join(weft_models *s);
/* Whether another file of the same path is changed otherwise, or not at all;
 * wherever models are. */
bool weft_models_has_kin(const weft_models *s, int i);

/* Labels that a data set may go through: all that every model has but the last,
 * which guidance takes for none; 0: they take none. Opens the models. */
weft_status weft_models_classes(const weft_config *c, int *classes);

/* Of all nets that sample: a multiple of every total stride. */
int weft_models_stride(const weft_models *s);
/* Of files and of analytic models. */
uint64_t weft_models_fingerprint(const weft_method *m, const weft_models *s);

#endif
