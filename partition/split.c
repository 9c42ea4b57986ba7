#include "partition/split.h"

#include <math.h>

/* The patch that takes the next unit: the one that would have done it first;
 * of several the last. */
static int quickest(const int *units, const double *weight, int n)
{
    double least = HUGE_VAL;
    int best = n - 1;

    for (int p = n - 1; p >= 0; p--) {
        const double time = (units[p] + 1) / (weight ? weight[p] : 1);

        if (time >= least) continue;
        least = time;
        best = p;
    }
    return best;
}

/* One unit each, then one after the other. `first` holds the counts in
 * between. */
static void deal(int units, int n, const double *weight, int *first)
{
    int *count = first + 1, sum = 0;

    for (int p = 0; p < n; p++) count[p] = 1;
    for (int left = units - n; left > 0; left--)
        count[quickest(count, weight, n)]++;
    first[0] = 0;
    for (int p = 0; p < n; p++) first[p + 1] = sum += count[p];
}

weft_status weft_split_rows(int rows, int unit, int n, const double *weight,
                            int *first)
{
    const int units = unit > 0 ? rows / unit : 0;

    if (unit < 1 || rows < 1 || rows % unit)
        return weft_fail(WEFT_EINPUT,
                         "%d latent rows are not a multiple of the grain %d",
                         rows, unit);
    if (n < 1 || n > units)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks for one image, but its %d latent rows make "
                         "only %d patches of %d rows: use at most %d ranks, or "
                         "parallel.patches",
                         n, rows, units, unit, units);
    deal(units, n, weight, first);
    return WEFT_OK;
}

weft_status weft_split_columns(int width, int strip, int n, int *first)
{
    const int strips = weft_split_strips(width, strip);

    if (n < 1 || n > strips)
        return weft_fail(WEFT_EINPUT,
                         "%d columns of patches, but %d latent columns make "
                         "only %d of %d columns: use at most %d",
                         n, width, strips, strip, strips);
    for (int k = 0; k <= n; k++) first[k] = weft_share_first(strips, n, k);
    return WEFT_OK;
}

weft_status weft_split_check_weights(const double *weight, int given, int n)
{
    double sum = 0;

    if (given != n)
        return weft_fail(WEFT_EINPUT,
                         "parallel.weights has %d number%s for %d line%s of "
                         "patches",
                         given, given == 1 ? "" : "s", n, n == 1 ? "" : "s");
    for (int p = 0; p < n; p++) {
        if (!(weight[p] >= 0) || !isfinite(weight[p]))
            return weft_fail(WEFT_EINPUT,
                             "parallel.weights: %g is no weight; 0 and more "
                             "are",
                             weight[p]);
        sum += weight[p];
    }
    if (sum > 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "parallel.weights: all of them are 0");
}
