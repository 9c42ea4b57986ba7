#include "launch/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/path.h"
#include "core/io/png.h"
#include "core/model/component.h"
#include "launch/commands.h"
#include "launch/inspect_dataset.h"
#include "launch/inspect_model.h"
#include "launch/standard.h"

enum { MOST_TEXT = 4000 };

/* Files are others' work: what they say must not steer the terminal. */
void weft_inspect_print(FILE *out, const char *text, size_t most)
{
    size_t n = 0;

    for (; text[n] != '\0' && n < most; n++) {
        const unsigned char c = (unsigned char)text[n];
        const bool control = (c < 0x20 && c != '\n') || c == 0x7f ||
                             (c == 0xc2 && (unsigned char)text[n + 1] < 0xa0);
        putc(control ? '?' : text[n], out);
    }
    if (text[n] != '\0') fputs(" ...", out);
}

static weft_status inspect_png(const char *path, FILE *out)
{
    weft_png_info info;

    WEFT_TRY(weft_png_read_info(path, &info));
    fprintf(out, "%s: PNG, %dx%d, %s, %d bits\n", path, info.width, info.height,
            info.channels == 1   ? "grey"
            : info.channels == 3 ? "RGB"
            : info.channels == 4 ? "RGB and alpha"
                                 : "grey and alpha",
            info.depth);
    for (int i = 0; i < info.ntext; i++) {
        fputs("\n  ", out);
        weft_inspect_print(out, info.key[i], 79);
        fputs(":\n", out);
        weft_inspect_print(out, info.value[i], MOST_TEXT);
        putc('\n', out);
    }
    if (info.ntext == 0) fputs("  no texts\n", out);
    weft_png_info_release(&info);
    return WEFT_OK;
}

static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);

    return n >= m && strcasecmp(path + n - m, end) == 0;
}

/* What a file is by its first bytes: a PNG's signature, or eight bytes of
 * length and the brace of a safetensors header. */
static weft_status inspect_file(const char *path, FILE *out)
{
    static const unsigned char png[8] = {0x89, 'P',  'N',  'G',
                                         '\r', '\n', 0x1a, '\n'};
    unsigned char head[9] = {0};
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL) return weft_fail(WEFT_EINPUT, "%s: cannot be read", path);
    n = fread(head, 1, sizeof head, f);
    fclose(f);
    if (n >= sizeof png && memcmp(head, png, sizeof png) == 0)
        return inspect_png(path, out);
    WEFT_TRY(weft_component_check_file(path));
    if (ends_in(path, ".safetensors") ||
        ends_in(path, ".safetensors.index.json") ||
        (n == sizeof head && head[8] == '{' && head[7] == 0))
        return weft_inspect_tensors(path, out);
    if (ends_in(path, ".yaml") || ends_in(path, ".yml"))
        return weft_fail(WEFT_EINPUT, "%s: is a config; weft plan %s shows it",
                         path, path);
    return weft_fail(WEFT_EINPUT,
                     "%s: neither a PNG nor a safetensors file nor a folder "
                     "with a model",
                     path);
}

/* A pipeline's variant, or a part of a folder or file. */
static weft_status inspect_inside(const char *file, const char *path, FILE *out)
{
    char index[WEFT_PATH];
    bool runs;

    WEFT_TRY(weft_path_join(file, "model_index.json", index, sizeof index));
    if (weft_path_exists(index)) return weft_inspect_pipeline(path, out);
    return weft_inspect_part(path, path, false, &runs, out);
}

weft_status weft_inspect(const char *path, FILE *out)
{
    char file[WEFT_PATH];
    const char *inside;

    WEFT_TRY(weft_component_split(path, file, sizeof file, &inside));
    if (!weft_path_exists(file))
        return weft_fail(WEFT_EINPUT, "%s: there is no such file or folder",
                         path);
    if (inside) return inspect_inside(file, path, out);
    if (weft_is_dataset(path)) return weft_inspect_dataset(path, false, out);
    if (weft_path_is_folder(path)) return weft_inspect_folder(path, out);
    if (weft_path_is_file(path)) return inspect_file(path, out);
    return weft_fail(WEFT_EINPUT, "%s: neither a file nor a folder", path);
}

static weft_status verify(const char *path)
{
    if (weft_is_dataset(path)) return weft_inspect_dataset(path, true, stdout);
    return weft_fail(WEFT_EINPUT, "%s: --verify is for data sets", path);
}

int weft_command_inspect(const weft_cli *cli)
{
    weft_status s =
        cli->verify ? verify(cli->path) : weft_inspect(cli->path, stdout);

    if (s == WEFT_OK) s = weft_standard_flush();
    if (s != WEFT_OK) fprintf(stderr, "weft: %s\n", weft_fail_text());
    return weft_exit_code(s);
}
