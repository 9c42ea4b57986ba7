#include "launch/config_roles.h"

#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"

/* ---- shape --------------------------------------------------------------- */

static bool is_word(const weft_tree *t)
{
    return t->kind == WEFT_TREE_TEXT && !t->quoted &&
           (!strcmp(t->text, "auto") || !strcmp(t->text, "shared"));
}

static weft_status entry(const char *name, const char *ranks, weft_tree *role)
{
    WEFT_TRY(
        weft_tree_put(role, "name", weft_tree_text(name, true, &role->place)));
    return weft_tree_put(role, "ranks",
                         weft_tree_text(ranks, false, &role->place));
}

/* NAME: 2 becomes NAME: {name: NAME, ranks: 2}. */
static weft_status shape_role(weft_tree *t)
{
    char ranks[24];

    if (t->kind != WEFT_TREE_TEXT || t->quoted || !weft_text_whole(t->text) ||
        strlen(t->text) >= sizeof ranks)
        return weft_place_fail(&t->place,
                               "parallel.roles.%.80s: expected a number of "
                               "ranks",
                               t->key);
    if (t->text[0] == '-' || t->text[0] == '0')
        return weft_place_fail(&t->place,
                               "parallel.roles.%.80s: %s ranks; a role needs "
                               "at least 1",
                               t->key, t->text);
    memcpy(ranks, t->text, strlen(t->text) + 1);
    free(t->text);
    t->text = NULL;
    t->kind = WEFT_TREE_MAP;
    return entry(t->key, ranks, t);
}

/* auto becomes {{name: auto, ranks: 0}}. */
static weft_status shape_word(weft_tree *roles)
{
    weft_tree *one = weft_tree_new(WEFT_TREE_MAP, &roles->place);
    weft_status st;

    if (!one) return weft_fail(WEFT_ENOMEM, "out of memory");
    st = entry(roles->text, "0", one);
    if (st != WEFT_OK) {
        weft_tree_free(one);
        return st;
    }
    free(roles->text);
    roles->text = NULL;
    roles->first = one;
    return WEFT_OK;
}

weft_status weft_config_shape_roles(weft_tree *root)
{
    weft_tree *roles = weft_tree_find(root, "parallel.roles");

    if (!roles) return WEFT_OK;
    if (is_word(roles))
        WEFT_TRY(shape_word(roles));
    else if (roles->kind != WEFT_TREE_MAP)
        return weft_place_fail(&roles->place,
                               "parallel.roles: expected auto, shared or ranks "
                               "by role, such as { strong: 2, weak: 1 }");
    else
        for (weft_tree *t = roles->first; t; t = t->next)
            WEFT_TRY(shape_role(t));
    roles->kind = WEFT_TREE_LIST;
    return WEFT_OK;
}

/* ---- taking -------------------------------------------------------------- */

static weft_status take_given(const weft_tree *roles, weft_raw_parallel *raw,
                              weft_config *c)
{
    const weft_tree *t = roles->first;

    c->parallel.role = calloc((size_t)raw->nroles, sizeof *c->parallel.role);
    if (!c->parallel.role) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->parallel.nroles = raw->nroles;
    for (int i = 0; i < raw->nroles; i++, t = t->next) {
        c->parallel.role[i].name = raw->role[i].name;
        c->parallel.role[i].ranks = raw->role[i].ranks;
        c->parallel.role[i].line =
            t->key_place.override ? 0 : t->key_place.line;
        raw->role[i].name = NULL;
    }
    c->parallel.roles = WEFT_ROLES_GIVEN;
    return WEFT_OK;
}

weft_status weft_config_take_roles(const weft_tree *root,
                                   weft_raw_parallel *raw, weft_config *c)
{
    const weft_tree *roles = weft_tree_find(root, "parallel.roles");

    c->parallel.share =
        weft_config_choice("parallel.sharing", raw->sharing) == 0;
    c->parallel.flights = raw->flights;
    if (!roles) return WEFT_OK;
    if (raw->role[0].ranks) return take_given(roles, raw, c);
    c->parallel.roles =
        strcmp(raw->role[0].name, "auto") ? WEFT_ROLES_SHARED : WEFT_ROLES_AUTO;
    return WEFT_OK;
}
