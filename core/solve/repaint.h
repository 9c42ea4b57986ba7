/*
 * repaint.h - samples that begin with a picture, and those of which a part is
 * painted anew; as diffusers' StableDiffusionImg2ImgPipeline and
 * StableDiffusionInpaintPipeline.
 *
 * A picture's latents with noise at the level of a node are a start like
 * another: the steps before that node are left out. Where a mask says what may
 * change, everything else is put back after every step, with the same noise at
 * the level of the node that was reached, and without at the end:
 *
 *     weft_repaint_first(steps, strength, &first); weft_solver_begin(s, first,
 *     draws); weft_repaint_noised(s, weft_solver_begins(s), picture, noise, x);
 *     for (i = first; i < steps; i++) {
 *         weft_solver_step(s, i, d, x);
 *         weft_repaint_keep(s, i + 1, &keep, x);
 *     }
 *
 * A walk of PLMS is diffusers' to its oddity: it begins a node earlier than
 * others (weft_solver_begins) and all but its first step are a node ahead of x.
 *
 * Nets that were made for it are instead told mask and masked picture in
 * channels of their own, in every question (weft_beside, core/guide/model.h),
 * and nothing is put back. With strength 1 diffusers' inpainting begins with
 * noise alone (weft_repaint_noise), its image to image nevertheless with the
 * picture. Of a solver that tries a point within
 * its step (Heun) diffusers keeps the mask there too; here it is kept after
 * whole steps.
 *
 * Draws of an image's noise, in order: the encoder's (weft_repaint_latents; not
 * where nets made for it begin with noise alone), the start, then the encoder's
 * for the masked picture where there is a mask, then those of the steps.
 */
#ifndef WEFT_CORE_SOLVE_REPAINT_H
#define WEFT_CORE_SOLVE_REPAINT_H

#include "core/net/net.h"
#include "core/solve/solver.h"

/* The step that a walk begins with: so many are left out that steps * strength
 * remain, rounded down. WEFT_EINPUT: strength is not within 0 to 1, or none
 * remains. */
weft_status weft_repaint_first(int steps, double strength, int *first);

/* x = what `picture` is at node i under this noise; all are of the solver's
 * batch. x may be `noise`. */
void weft_repaint_noised(const weft_solver *s, int i, const float *picture,
                         const float *noise, float *x);

/* x = the start from noise alone: with a mask and strength 1. */
void weft_repaint_noise(const weft_solver *s, const float *noise, float *x);

/* What is kept: [rows][n][columns][channels] but for the mask, which is alike
 * for all samples: [rows][columns], 1 where the picture may change. */
typedef struct weft_repaint {
    const float *picture, *noise, *mask;
} weft_repaint;

/* Put back what the mask keeps into x, which is at node i. */
void weft_repaint_keep(const weft_solver *s, int i, const weft_repaint *k,
                       float *x);

/* ---- pictures ------------------------------------------------------------ */

/* A mask of latent pixels out of one of `stride` times as many grey ones in
 * rows and columns, [h * stride][w * stride], 0 to 255: that of the upper left
 * one, 1 from 128 on. */
void weft_repaint_mask(const unsigned char *grey, int h, int w, int stride,
                       float *mask);

/* Latents as samplers know them from what an encoder made of a picture
 * (WEFT_PART_ENCODE) for `pixels` pixels: AutoencoderKL's [pixels][2 c] with
 * `noise` [pixels][c], mean + exp(log-variance / 2) noise, the logarithm held
 * within -30 to 20; AutoencoderTiny's [pixels][c] as they are (noise unused).
 */
void weft_repaint_latents(const weft_net_info *vae, const float *encoded,
                          const float *noise, size_t pixels, float *latents);

#endif
