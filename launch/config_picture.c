#include "launch/config_picture.h"

#include "launch/config_check.h"
#include "launch/config_method.h"

weft_status weft_config_take_picture(const weft_tree *root,
                                     const weft_raw_sample *raw, bool identity,
                                     weft_config *c)
{
    const weft_tree *image = weft_tree_find(root, "sample.image");
    const weft_tree *mask = weft_tree_find(root, "sample.mask");
    const weft_tree *control = weft_tree_find(root, "sample.control");

    c->sample.strength = raw->strength;
    if (mask && !image)
        return weft_place_fail(&mask->place, "sample.mask needs sample.image");
    if (image && (weft_tree_find(root, "dataset.manifest") ||
                  weft_tree_find(root, "dataset.items")))
        return weft_place_fail(&image->place,
                               "sample.image: the images of a data set cannot "
                               "begin with a picture");
    if (control && !control->place.override)
        c->sample.control_line = control->place.line;
    WEFT_TRY(weft_config_take_path(root, "sample.control", identity,
                                   &c->sample.control));
    WEFT_TRY(weft_config_take_path(root, "sample.image", identity,
                                   &c->sample.image));
    return weft_config_take_path(root, "sample.mask", identity,
                                 &c->sample.mask);
}

void weft_config_write_picture(FILE *f, const weft_config *c)
{
    if (c->sample.control.path) {
        fputs(",\"control\":", f);
        weft_config_write_string(f, c->sample.control.portable);
    }
    if (!c->sample.image.path) return;
    fputs(",\"image\":", f);
    weft_config_write_string(f, c->sample.image.portable);
    if (c->sample.mask.path) {
        fputs(",\"mask\":", f);
        weft_config_write_string(f, c->sample.mask.portable);
    }
    fputs(",\"strength\":", f);
    weft_config_write_number(f, c->sample.strength);
}
