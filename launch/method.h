/*
 * method.h - what a run asks of which model under which condition.
 *
 * A method is a solver and the denoisers that it asks. Each denoiser is a
 * *leaf*, one net asked about one condition or about both in one batch, or
 * guidance made of leaves. Whoever evaluates a leaf has a *role*; its name
 * follows from the model and, where the two conditions are kept apart, from the
 * condition. *Local*: the same on every rank.
 */
#ifndef WEFT_LAUNCH_METHOD_H
#define WEFT_LAUNCH_METHOD_H

#include "core/guide/guidance.h"
#include "core/solve/solver.h"
#include "launch/config.h"

enum { WEFT_MODELS = WEFT_ASKED / 2, WEFT_LEAVES = WEFT_ASKED };

typedef enum weft_condition {
    WEFT_COND,
    WEFT_UNCOND,
    WEFT_BOTH
} weft_condition;

typedef struct weft_leaf {
    int model; /* of the method's */
    weft_condition condition;
} weft_leaf;

/* Of a leaf that is BOTH, when the solver wants one by one what it says. The
 * conditional half comes first in every question. */
typedef enum weft_half {
    WEFT_WHOLE,
    WEFT_COND_HALF,
    WEFT_UNCOND_HALF,
} weft_half;

/* One of the solver's denoisers. `against` is the leaf to move away from, of
 * the other condition; -1: the leaf alone, or guided within it (BOTH). */
typedef struct weft_asked {
    int leaf, against;
    weft_half half;
    bool guided;
    weft_guidance guidance; /* without total */
} weft_asked;

typedef struct weft_method {
    const weft_config *config;
    int model[WEFT_MODELS]; /* indices into config->model */
    int nmodels;
    bool apart[WEFT_MODELS];  /* the conditions of a model are two roles */
    bool guided[WEFT_MODELS]; /* the net itself is told the guidance, and asked
                                 about the text alone (LCM) */
    weft_leaf leaf[WEFT_LEAVES];
    int nleaves;
    weft_asked asked[WEFT_ASKED]; /* in the order of the solver's `who` */
    int nasked;
} weft_method;

/* The models that the config's method takes. The config has been
 * checked for them. */
weft_status weft_method_models(const weft_config *c, weft_method *m);

/* Once it is listed: whether a model is asked about that condition. */
bool weft_method_asks(const weft_method *m, int model,
                      weft_condition condition);

/* Whether anything is asked without its condition. */
bool weft_method_guides(const weft_method *m);

/* The most whole-sample sums that a batch of n needs at once. */
int weft_method_sums(const weft_method *m, int n);

/* Lists what is asked, with `apart` as it is. */
weft_status weft_method_list(weft_method *m);

/* The name of a leaf's role: "strong", "cond", "weak.uncond". */
void weft_method_role(const weft_method *m, const weft_leaf *leaf, char *name,
                      size_t room);

/* A solver for one batch in flight; *s is owned, the schedule borrowed. */
weft_status weft_method_solver(const weft_method *m,
                               const weft_noise_schedule *schedule,
                               weft_solver **s);

#endif
