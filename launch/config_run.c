#include "launch/config_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"

enum { MOST_STEPS = 1000000, MOST_SECONDS = 1000000 };

static weft_status take_state(const weft_tree *root, weft_config *c)
{
    const weft_tree *t = weft_tree_find(root, "run.state");

    if (!t) return WEFT_OK;
    return weft_config_output_path(t, false, &c->run.state);
}

/* "30s", "0.5s" */
static bool read_seconds(const char *text, double *seconds)
{
    const size_t n = strlen(text);
    char number[32];

    if (n < 2 || n > sizeof number || text[n - 1] != 's') return false;
    snprintf(number, sizeof number, "%.*s", (int)n - 1, text);
    return weft_text_number(number, seconds) && *seconds > 0 &&
           *seconds <= MOST_SECONDS;
}

static bool read_steps(const char *text, double *steps)
{
    return weft_text_whole(text) && weft_text_number(text, steps) &&
           *steps >= 0 && *steps <= MOST_STEPS;
}

weft_status weft_config_take_run(const weft_tree *root, const weft_raw_run *raw,
                                 weft_config *c)
{
    const weft_tree *t = weft_tree_find(root, "run.checkpoint");
    const weft_place at = t ? t->place : root->place;
    double steps = 0;

    if (!read_steps(raw->checkpoint, &steps) &&
        !read_seconds(raw->checkpoint, &c->run.keep_seconds))
        return weft_place_fail(&at,
                               "run.checkpoint: expected steps, such as 10, or "
                               "seconds, such as 60s, at most a million; found "
                               "\"%.80s\"",
                               raw->checkpoint);
    c->run.keep_steps = (int)steps;
    return take_state(root, c);
}
