#include "partition/grid.h"

static weft_status too_many(int ranks, int across, int units, int images)
{
    return weft_fail(WEFT_EINPUT,
                     "%d ranks are too many for %d image%s whose rows make %d "
                     "patch%s each: use at most %d ranks",
                     ranks * across, images, images == 1 ? "" : "s",
                     units * across, units * across == 1 ? "" : "es",
                     across *
                         (ranks / images > units ? units * images : units));
}

static int most_patches(int ranks, int units, int images)
{
    for (int d = ranks < units ? ranks : units; d >= 1; d--)
        if (ranks % d == 0 && ranks / d <= images) return d;
    return 0;
}

weft_status weft_grid_make(int ranks, int across, int patches, int units,
                           int images, weft_grid *g)
{
    const int want = patches ? patches : most_patches(ranks, units, images);

    if (!want) return too_many(ranks, across, units, images);
    if (ranks % want)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks are not a multiple of the %d of "
                         "parallel.patches",
                         ranks * across, want * across);
    if (want > units)
        return weft_fail(WEFT_EINPUT,
                         "parallel.patches divides the image's rows by %d, but "
                         "they make only %d patch%s",
                         want, units, units == 1 ? "" : "es");
    if (ranks / want > images)
        return weft_fail(WEFT_EINPUT,
                         "%d groups of %d ranks for %d image%s: use fewer "
                         "ranks, more seeds, or a larger parallel.patches",
                         ranks / want, want * across, images,
                         images == 1 ? "" : "s");
    *g = (weft_grid){.ranks = ranks, .patches = want, .groups = ranks / want};
    return WEFT_OK;
}
