#include "core/solve/repaint.h"

#include <math.h>

#include "core/solve/methods.h"
#include "core/solve/nodes.h"

weft_status weft_repaint_first(int steps, double strength, int *first)
{
    int rest;

    if (!(strength >= 0 && strength <= 1))
        return weft_fail(WEFT_EINPUT, "strength %g is not within 0 to 1",
                         strength);
    rest = (int)(steps * strength);
    if (rest < 1)
        return weft_fail(WEFT_EINPUT,
                         "strength %g leaves none of %d steps; %g leaves one",
                         strength, steps, 1. / steps);
    *first = steps - rest;
    return WEFT_OK;
}

/* x = a picture + b noise at node i. */
typedef struct level {
    double a, b;
} level;

static level level_of(const weft_solver *s, int i)
{
    if (weft_nodes_karras(s->kind)) return (level){1, s->sigma[i]};
    return (level){sqrt(s->abar[i]), sqrt(1 - s->abar[i])};
}

void weft_repaint_noised(const weft_solver *s, int i, const float *picture,
                         const float *noise, float *x)
{
    const level l = level_of(s, i);
    const size_t n = weft_solver_floats(s);

    for (size_t k = 0; k < n; k++)
        x[k] = (float)(l.a * picture[k] + l.b * noise[k]);
}

void weft_repaint_noise(const weft_solver *s, const float *noise, float *x)
{
    weft_scale(s->init_sigma, noise, x, weft_solver_floats(s));
}

/* The end is the picture itself, though its level may be a little above 0. */
static level kept_level(const weft_solver *s, int i)
{
    return i == s->steps ? (level){1, 0} : level_of(s, i);
}

static void keep_pixel(const weft_repaint *k, level l, double m, size_t at,
                       int c, float *x)
{
    for (int q = 0; q < c; q++, at++) {
        const double kept = l.a * k->picture[at] + l.b * k->noise[at];

        x[at] = (float)((1 - m) * kept + m * x[at]);
    }
}

void weft_repaint_keep(const weft_solver *s, int i, const weft_repaint *k,
                       float *x)
{
    const weft_batch *b = &s->batch;
    const level l = kept_level(s, i);
    size_t at = 0;

    for (int y = 0; y < b->rows; y++)
        for (int n = 0; n < b->n; n++)
            for (int w = 0; w < b->w; w++, at += (size_t)b->c)
                keep_pixel(k, l, k->mask[(size_t)y * (size_t)b->w + (size_t)w],
                           at, b->c, x);
}

void weft_repaint_mask(const unsigned char *grey, int h, int w, int stride,
                       float *mask)
{
    const size_t row = (size_t)w * (size_t)stride;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            *mask++ = grey[(size_t)y * (size_t)stride * row +
                           (size_t)x * (size_t)stride] >= 128;
}

/* The inverse of what a decoder does first (net.h). */
static float scaled(const weft_net_info *vae, int c, double z)
{
    if (vae->has_mean_std)
        return (float)((z - vae->latents_mean[c]) * vae->scaling_factor /
                       vae->latents_std[c]);
    return (float)((z - vae->shift_factor) * vae->scaling_factor);
}

static double drawn(double mean, double log_variance, double noise)
{
    const double held = log_variance < -30  ? -30
                        : log_variance > 20 ? 20
                                            : log_variance;

    return mean + exp(held / 2) * noise;
}

void weft_repaint_latents(const weft_net_info *vae, const float *encoded,
                          const float *noise, size_t pixels, float *latents)
{
    const int c = vae->latent_channels;
    const bool kl = vae->kind == WEFT_NET_VAE_KL;

    for (size_t p = 0; p < pixels; p++) {
        for (int k = 0; k < c; k++) {
            const double z =
                kl ? drawn(encoded[k], encoded[c + k], noise[k]) : encoded[k];

            latents[k] = scaled(vae, k, z);
        }
        encoded += kl ? 2 * c : c;
        noise += kl ? c : 0;
        latents += c;
    }
}
